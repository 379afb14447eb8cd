"""The end is asked for by a signal or a call, and seen by threads and by the event loop."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys

import pytest

from streamgauge.demonstration.stop import Stop

WAITER = """
import asyncio, sys, threading
from streamgauge.demonstration.stop import Stop

async def main(stop):
    stop.attach()
    thread = asyncio.to_thread(stop.wait, 60)
    print("waits", flush=True)
    await asyncio.gather(stop.come(), thread)

stop = Stop()
stop.take_signals()
if sys.argv[1] == "before":
    print("waits", flush=True)
    while not stop.asked:
        pass
asyncio.run(main(stop))
print("ended")
"""


def test_asking_wakes_up_the_loop_and_threads() -> None:
    async def main() -> bool:
        stop = Stop()
        stop.attach()
        waiting = asyncio.create_task(asyncio.to_thread(stop.wait, 60.0))
        await asyncio.sleep(0.01)
        stop.ask()
        await stop.come()
        return await waiting and stop.asked

    assert asyncio.run(main())


def test_nobody_asked() -> None:
    stop = Stop()
    assert not stop.wait(0.01)
    assert not stop.wait(-1.0)
    assert not stop.asked


@pytest.mark.parametrize("when", ["before", "within"])
@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_asks_before_and_within_the_event_loop(name: signal.Signals, when: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITER, when], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waits\n"
        process.send_signal(name)
        out, err = process.communicate(timeout=30)
    assert out.splitlines()[-1] == "ended"
    assert err == ""
    assert process.returncode == 0
