#!/bin/sh
# The main job, shown on a made-up day. Usage: BIN=.venv/bin demo.sh CALLS.jsonl
set -eu
calls=$1

# Ctrl-C is for the program, which ends then; what comes below is still said.
trap : INT
"$BIN/streamgauge" demo

cat <<END

Next, with a file of made-up calls that was written for it:
  . $BIN/activate
  streamgauge report $calls --pack voip --statistic carrier_quality --every 1d
  streamgauge report $calls --pack voip --statistic carrier_quality --every 6m --format csv > carriers.csv
  streamgauge explain carrier_quality --pack voip
and with your own events:
  streamgauge run --pack voip
  head -n 100000 $calls | curl --data-binary @- -H 'content-type: application/x-ndjson' \\
    'http://127.0.0.1:8080/v1/events?topic=call&id=body.call_id'
END
