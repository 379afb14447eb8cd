"""One 6-minute statistic, file to result, against a typed read_json and group by written by hand for DuckDB."""

from __future__ import annotations

import _duckdb_peer as peer
import _ours
from _answers import check_same
from _bench import Claim, arguments, call_file, conclude, figure, interleaved


def main() -> None:
    given = arguments(events=1_000_000)
    path = call_file(given.events)
    check_same(
        _ours.answers(_ours.compute(path, _ours.ONE), _ours.ONE),
        peer.answers({"carriers": peer.compute_one(path)}),
        "DuckDB",
    )
    ours_s, peer_s = interleaved([lambda: _ours.compute(path, _ours.ONE), lambda: peer.compute_one(path)], given.runs)
    ours, theirs = given.events / ours_s, given.events / peer_s
    figure(f"streamgauge, {given.events:,} records", ours, "events/s")
    figure("DuckDB by hand, the same file", theirs, "events/s")
    conclude(Claim("one statistic against DuckDB by hand", "events/s", ours, theirs, ours / theirs, must=0.5, aim=0.75))


if __name__ == "__main__":
    main()
