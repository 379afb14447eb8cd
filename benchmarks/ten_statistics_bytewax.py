"""Ten statistics in one run, against bytewax with ten windows over the same stream.

bytewax takes the first records of our file, because it would take minutes over all of them; rates are compared.
"""

from __future__ import annotations

import _bytewax_peer as peer
import _ours
from _answers import check_same
from _bench import Claim, arguments, call_file, conclude, figure, first_records, interleaved


def main() -> None:
    given = arguments(events=1_000_000, peer_events=100_000)
    path = call_file(given.events)
    part = first_records(path, given.peer_events)
    check_same(
        _ours.answers(_ours.compute(part, _ours.TEN), _ours.TEN),
        peer.answers(peer.compute(part, peer.TEN), peer.TEN),
        "bytewax",
    )
    ours_s, peer_s = interleaved(
        [lambda: _ours.compute(path, _ours.TEN), lambda: peer.compute(part, peer.TEN)], given.runs
    )
    ours, theirs = given.events / ours_s, given.peer_events / peer_s
    figure(f"streamgauge, {given.events:,} records", ours, "events/s")
    figure(f"bytewax, the first {given.peer_events:,} of them", theirs, "events/s")
    conclude(Claim("ten statistics against bytewax", "events/s", ours, theirs, ours / theirs, must=30, aim=60))


if __name__ == "__main__":
    main()
