"""Ten statistics in one run, against one of them."""

from __future__ import annotations

import _duckdb_peer as peer
import _ours
from _answers import check_same
from _bench import Claim, arguments, call_file, conclude, figure, interleaved


def main() -> None:
    given = arguments(events=1_000_000)
    path = call_file(given.events)
    check_same(_ours.answers(_ours.compute(path, _ours.TEN), _ours.TEN), peer.answers(peer.compute_ten(path)), "DuckDB")
    one_s, ten_s, peer_s = interleaved(
        [
            lambda: _ours.compute(path, _ours.ONE),
            lambda: _ours.compute(path, _ours.TEN),
            lambda: peer.compute_ten(path),
        ],
        given.runs,
    )
    figure(f"one statistic, {given.events:,} records", given.events / one_s, "events/s")
    figure("ten statistics, the same file", given.events / ten_s, "events/s")
    figure("beside it: ten by hand with DuckDB, a table and ten group bys", given.events / peer_s, "events/s")
    conclude(Claim("ten statistics against one", "s", ten_s, one_s, ten_s / one_s, must=3, aim=1.8, less=True))


if __name__ == "__main__":
    main()
