"""Sends a file of NDJSON by HTTP, so many lines a request, over some connections; prints what it took, as JSON.

``_load.py PORT FILE [--path=...] [--lines=1000] [--connections=4] [--rate=0] [--repeat=1]``; a rate of 0 is as fast as
can be.
"""

from __future__ import annotations

import argparse
import http.client
import json
import threading
import time
from itertools import islice
from pathlib import Path
from typing import Any

PATH = "/v1/events?topic=call&id=body.call_id&time=body.end&time_unit=ms"


def bodies(path: Path, lines: int) -> list[bytes]:
    """The bodies of all requests."""
    found = []
    with path.open("rb") as file:
        while part := list(islice(file, lines)):
            found.append(b"".join(part))
    return found


class Sender:
    """Sends bodies one after another from several threads, each over a connection of its own."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given, self.lock = given, threading.Lock()
        self.waiting = list(reversed(bodies(given.file, given.lines))) * given.repeat
        self.sent, self.times, self.errors = 0, list[float](), list[str]()
        self.began = 0.0

    def run(self) -> dict[str, Any]:
        """Send all."""
        self.began = time.perf_counter()
        threads = [threading.Thread(target=self.send) for _ in range(self.given.connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds, times = time.perf_counter() - self.began, sorted(self.times)
        return {
            "seconds": seconds,
            "requests": len(times),
            "p50": times[len(times) // 2] if times else None,
            "p99": times[len(times) * 99 // 100] if times else None,
            "errors": self.errors[:5],
        }

    def next(self) -> bytes | None:
        """The next body, when its time has come."""
        with self.lock:
            if not self.waiting:
                return None
            body, due = self.waiting.pop(), 0.0
            if self.given.rate:
                due = self.began + self.sent / self.given.rate
            self.sent += body.count(b"\n")
        if due:
            time.sleep(max(0.0, due - time.perf_counter()))
        return body

    def send(self) -> None:
        """Send until nothing is left."""
        connection = http.client.HTTPConnection("127.0.0.1", self.given.port, timeout=60)
        while (body := self.next()) is not None:
            started = time.perf_counter()
            connection.request("POST", self.given.path, body, {"Content-Type": "application/x-ndjson"})
            answer = connection.getresponse()
            said = answer.read()
            self.times.append(time.perf_counter() - started)
            if answer.status != 200:
                self.errors.append(f"{answer.status}: {said[:200]!r}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("file", type=Path)
    parser.add_argument("--path", default=PATH)
    parser.add_argument("--lines", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--repeat", type=int, default=1)
    print(json.dumps(Sender(parser.parse_args()).run()))


if __name__ == "__main__":
    main()
