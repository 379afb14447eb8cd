#!/bin/sh
# The main job, shown on made-up calls. Usage: BIN=.venv/bin demo.sh CALLS.jsonl
set -eu
calls=$1
streamgauge=$BIN/streamgauge

run() {
    printf '\n$ %s\n' "streamgauge $*"
    "$streamgauge" "$@"
}

run report "$calls" --pack voip --statistic carrier_quality --every 1d

cat <<END

Next, with the same calls:
  . $BIN/activate
  streamgauge report $calls --pack voip
  streamgauge report $calls --pack voip --statistic carrier_quality --every 6m --format csv > carriers.csv
  streamgauge explain carrier_quality --pack voip
  streamgauge init voip
and with your own: streamgauge report FILE... --pack voip
END
