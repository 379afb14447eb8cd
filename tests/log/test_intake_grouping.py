"""However hand-overs are grouped, wherever the program stops: the same events, each once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamgauge.errors import RetryableError
from streamgauge.log.base import Incoming, LaneName
from streamgauge.log.intake import STEPS
from tests.log.taking import Gate, Log, T, bodies, body, eventually, incoming

HANDOVERS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.lists(st.one_of(st.none(), st.integers(0, 12), st.just(b"{")), max_size=5),
        st.booleans(),
    ),
    min_size=1,
    max_size=10,
)
"""Of each: its lane, its events (an id, no id, or no JSON), whether it is strict."""


def made(handovers: Sequence[tuple[int, Sequence[Any], bool]]) -> list[Incoming]:
    found = []
    for number, (lane, events, strict) in enumerate(handovers):
        lines = [e if isinstance(e, bytes) else body(T + number, id=e, n=k) for k, e in enumerate(events)]
        found.append(incoming(*lines, lane=LaneName("http", str(lane)), strict=strict, cursor=number))
    return found


def expected(handovers: Sequence[Incoming], order: Sequence[int]) -> list[Any]:
    """The bodies of the log's events, decided one by one in this order of append."""
    seen: set[Any] = set()
    kept = []
    for number in order:
        lines = handovers[number].data.split(b"\n")[:-1]
        for event in (json.loads(line) for line in lines if line != b"{"):
            if event["id"] is None or event["id"] not in seen:
                seen.add(event["id"])
                kept.append(event)
    return kept


def refused(message: Incoming) -> bool:
    return message.strict and b"{" in message.data.split(b"\n")


def appended_order(handovers: Sequence[Incoming], groups: Sequence[Sequence[int]]) -> list[int]:
    """The order in which they are appended: in each group, lane by lane."""
    order = []
    for group in groups:
        kept = [n for n in group if not refused(handovers[n])]
        lanes = list(dict.fromkeys(handovers[n].lane for n in kept))
        order += [n for lane in lanes for n in kept if handovers[n].lane == lane]
    return order


@settings(max_examples=25)
@given(handovers=HANDOVERS, cuts=st.sets(st.integers(1, 9)), stops=st.sets(st.integers(1, 9)))
def test_the_events_do_not_depend_on_the_grouping_but_for_the_order_of_lanes(
    handovers: list[Any], cuts: set[int], stops: set[int]
) -> None:
    messages = made(handovers)
    edges = [0, *sorted(c for c in cuts if c < len(messages)), len(messages)]
    groups = [list(range(a, b)) for a, b in pairwise(edges)]
    with tempfile.TemporaryDirectory() as folder, Log(Path(folder)) as log:
        for group in groups:
            receipts = together(log, [messages[n] for n in group])
            for n, receipt in zip(group, receipts, strict=True):
                assert receipt.kept is not refused(messages[n])
                if receipt.accepted:
                    assert position_of(log, receipt.position) in messages[n].data
            if group[-1] in stops:
                log.restart()
        assert [e["body"] for e in log.events()] == expected(messages, appended_order(messages, groups))
        blocks = log.blocks()
        assert [b.header.position for b in blocks[1:]] == [b.header.next_position for b in blocks[:-1]]
        assert sum(b.header.dead for b in blocks) == len(log.dead())


def together(log: Log, messages: Sequence[Incoming]) -> list[Any]:
    """Hand these over such that they are in one group."""
    gate = Gate("received")
    log.intake._step = gate
    # The first holds the thread while the others come; it says nothing itself.
    first = log.intake.submit(incoming(cursor=-1, lane=LaneName("gate")))
    eventually(lambda: log.intake.waiting_bytes == 0)
    futures = [log.intake.submit(message) for message in messages]
    gate.open()
    first.result(20)
    return [future.result(20) for future in futures]


def position_of(log: Log, position: int) -> bytes:
    """The message at a position, as it was handed over."""
    for block in log.blocks():
        header = block.header
        if header.position <= position < header.position + header.events:
            line = block.events.split(b"\n")[position - header.position]
            return line[line.index(b'"body":') + 7 : -1] + b"\n"
    raise AssertionError(position)


def test_what_could_not_be_appended_has_changed_nothing_and_it_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with Log(tmp_path, max_bytes=100_000) as log:
        log.take(*bodies([1]), cursor=1)
        filler = tmp_path / "log" / "filler"
        filler.write_bytes(b"x" * 100_000)
        log.writer._used += 100_000
        for message in (incoming(*bodies([2]), cursor=2, key="k"), incoming(*bodies([3]), lane=LaneName("new"))):
            with pytest.raises(RetryableError, match=r"cannot be appended: it has 10.* of the 100000 bytes"):
                log.intake.submit(message).result(20)
        assert log.intake.cursor(LaneName("http")) == 1
        filler.unlink()
        receipt = log.take(*bodies([2, 1]), cursor=2, key="k")
        assert (receipt.accepted, receipt.duplicates, receipt.again, receipt.position) == (1, 1, False, 1)
        assert log.take(*bodies([3]), lane=LaneName("newer")).accepted == 1
        assert [b.header.lane for b in log.blocks()] == [0, 0, 1]


ROOT = Path(__file__).resolve().parents[2]

KILLED = """
import os, signal, sys
from pathlib import Path
from streamgauge.log.base import LaneName
from tests.log.taking import Log, bodies, incoming

at, nth = sys.argv[2], int(sys.argv[3])
left = nth

def step(name):
    global left
    left -= name == at
    if name == at and left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

log = Log(Path(sys.argv[1]), step=step)
for first in range(0, 40, 4):
    future = log.intake.submit(incoming(*bodies(range(first, first + 6)), cursor=first, key=str(first)))
    receipt = future.result(20)
    print(first, receipt.accepted, receipt.position, flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("step", STEPS)
def test_a_process_killed_at_each_step_loses_and_doubles_nothing(tmp_path: Path, step: str) -> None:
    done: dict[str, tuple[str, str]] = {}
    command = [sys.executable, "-c", KILLED, str(tmp_path), step, str(random.Random(step).randint(1, 9))]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert run.returncode == -signal.SIGKILL, run.stderr
    for line in run.stdout.splitlines():
        first, accepted, position = line.split()
        done[first] = (accepted, position)
    with Log(tmp_path) as log:
        for first in range(0, 40, 4):
            receipt = log.take(*bodies(range(first, first + 6)), cursor=first, key=str(first))
            answer = (str(receipt.accepted), str(receipt.position))
            assert done.get(str(first), answer) == answer
        assert [e["id"] for e in log.events()] == [str(n) for n in range(42)]
        assert log.intake.cursor(LaneName("http")) == 36
