"""A client that knows what was acknowledged."""

from __future__ import annotations

import httpx

from tests.hostile.program import Program, problem, until


class Sender:
    """Sends events with ids, and knows which of them were acknowledged."""

    def __init__(self, program: Program, pad: int = 1000) -> None:
        self.program, self.acknowledged, self.sent, self.pad = program, 0, 0, "x" * pad
        self.last: httpx.Response | None = None

    def send(self, count: int = 100) -> bool:
        """Some events; whether they were acknowledged."""
        events = [{"k": "a", "v": 1, "id": f"{self.sent}-{n}", "pad": self.pad} for n in range(count)]
        self.sent += 1
        self.last = self.program.post(events, id="body.id")
        if self.last.status_code != 200:
            return False
        self.acknowledged += self.last.json()["accepted"]
        return True

    def counted(self) -> bool:
        """Whether all that was acknowledged is counted, and nothing else."""
        total = self.program.total()
        assert total <= self.acknowledged
        return total == self.acknowledged


def refused(sender: Sender) -> None:
    """The next events are not taken, and it is said how to go on."""
    until(lambda: not sender.send(), 10)
    assert sender.last is not None
    found = problem(sender.last)
    assert (found["status"], int(sender.last.headers["retry-after"]) > 0) == (503, True)
    assert "nothing of them was kept" in found["detail"]


def goes_on(sender: Sender, program: Program) -> None:
    """Events are taken again, and all is counted, without anybody's help, also by the next process."""
    until(sender.send, 10)
    until(sender.counted, 15)
    until(lambda: program.health()["status"] == "ok", 15)
    program.serves()
    sender.acknowledged += 1
    assert program.stop() == 0
