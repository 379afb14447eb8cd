"""Events with ids, posted over HTTP from several threads until each is acknowledged, however often the program dies."""

from __future__ import annotations

import http.client
import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

T = 1_700_000_000_000
LINES = 20
STEP_MS = 2_000
"""By so much a batch is newer than the one before it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One request. ``ids``: those of its good events, each to be counted once under ``topic``."""

    path: str
    topic: str
    body: bytes
    ids: tuple[str, ...]
    key: str = ""


def batch(number: int, seed: int = 0, base_ms: int = T) -> Batch:
    """A made-up one: out of order, with lines that are no events and ids that earlier batches had."""
    r = random.Random(seed * 1_000_003 + number)
    keyed = number % 4 == 3
    ids = [f"{'k' if keyed else 'e'}{number}-{n}" for n in range(LINES)]
    if not keyed and number:
        ids += [f"e{r.randrange(number)}-{r.randrange(LINES)}" for _ in range(4)]
        ids = [one for one in ids if int(one[1 : one.index("-")]) % 4 != 3]
        r.shuffle(ids)
    lines = [_event(one, base_ms + number * STEP_MS, number, r) for one in ids]
    if r.random() < 0.3:
        lines.insert(r.randrange(len(lines)), r.choice([b"{", b'{"time":"never","id":"x"}', b"nothing"]))
    query = "topic=keyed" if keyed else "topic=call&id=body.id"
    body, key = b"\n".join(lines) + b"\n", f"batch-{number}" if keyed else ""
    return Batch(f"/v1/events?{query}&time=body.time", "keyed" if keyed else "call", body, tuple(ids), key)


def _event(id_: str, newest_ms: int, number: int, r: random.Random) -> bytes:
    time_ms = newest_ms - r.choice([0, 0, 0, 200, 5_000, 40_000, 400_000])
    value = r.choice([number, -number, 2**40 + number, None, "bad", 1.5])
    return json.dumps({"id": id_, "time": time_ms, "k": f"k{r.randrange(7)}", "x": value}).encode()


class Sending:
    """Threads that post batch after batch. ``port`` says where the program listens, None while it does not.

    ``acknowledged``: by topic, the ids of the events of which the program said that it has them.
    """

    def __init__(
        self,
        port: Callable[[], int | None],
        seed: int = 0,
        threads: int = 2,
        pause_s: float = 0.002,
        base_ms: int = T,
        numbers: Iterator[int] | None = None,
    ) -> None:
        self.port, self.seed, self.pause_s, self.base_ms = port, seed, pause_s, base_ms
        self.acknowledged: dict[str, set[str]] = {"call": set(), "keyed": set()}
        self.batches = 0
        self._busy = 0
        self._numbers = numbers or itertools.count()
        self._held, self._ending, self._aborted = threading.Event(), threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def hold(self, held: bool = True) -> None:
        """Begin no new batch for now, or go on; one that was begun is posted until it is acknowledged."""
        with self._lock:
            (self._held.set if held else self._held.clear)()

    def rest(self, within_s: float = 30.0) -> None:
        """After ``hold``: wait until what was begun is acknowledged."""
        until = time.monotonic() + within_s
        while self._busy:
            assert not self._errors, self._errors
            assert time.monotonic() < until, "a batch is still not acknowledged"
            time.sleep(0.005)

    def end(self, within_s: float = 30.0) -> None:
        """Post what was begun, and no more."""
        self._ending.set()
        for thread in self._threads:
            thread.join(within_s)
        self.abort()
        assert not self._errors, self._errors
        assert not any(thread.is_alive() for thread in self._threads), "a batch is still not acknowledged"

    def abort(self) -> None:
        """Leave everything as it is."""
        self._ending.set()
        self._aborted.set()
        for thread in self._threads:
            thread.join(35.0)

    @contextmanager
    def told(self) -> Iterator[dict[str, set[str]]]:
        """What is acknowledged, which does not change for as long as the block lasts."""
        with self._lock:
            yield self.acknowledged

    def counts(self) -> dict[str, int]:
        """How many events of each topic were acknowledged."""
        with self._lock:
            return {topic: len(ids) for topic, ids in self.acknowledged.items() if ids}

    def _run(self) -> None:
        try:
            connection = Client(self.port)
            while not self._ending.is_set():
                with self._lock:
                    held = self._held.is_set()
                    self._busy += not held
                if held:
                    time.sleep(0.005)
                    continue
                self._post(connection, batch(next(self._numbers), self.seed, self.base_ms))
                with self._lock:
                    self._busy -= 1
                time.sleep(self.pause_s)
            connection.close()
        except BaseException as error:
            self._errors.append(error)
            raise

    def _post(self, client: Client, one: Batch) -> None:
        while not self._aborted.is_set():
            answer = client.post(one)
            if answer is None:
                time.sleep(0.01)
                continue
            bad = one.body.count(b"\n") - len(one.ids)
            assert answer["malformed"] == bad, answer
            assert answer["accepted"] + answer["duplicates"] == len(one.ids), answer
            with self._lock:
                self.acknowledged[one.topic].update(one.ids)
                self.batches += 1
            return


class Client:
    """One connection, made again whenever it breaks."""

    def __init__(self, port: Callable[[], int | None]) -> None:
        self._port = port
        self._connection: http.client.HTTPConnection | None = None

    def post(self, one: Batch) -> dict[str, int] | None:
        """The answer; None where it was not acknowledged and must be posted again."""
        port = self._port()
        if port is None:
            return None
        if self._connection is None or self._connection.port != port:
            self.close()
            self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        headers = {"content-type": "application/x-ndjson", **({"idempotency-key": one.key} if one.key else {})}
        try:
            self._connection.request("POST", one.path, one.body, headers)
            response = self._connection.getresponse()
            said = response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            return None
        assert response.status in (200, 429, 503), (response.status, said)
        answer: dict[str, int] = json.loads(said)
        return answer if response.status == 200 else None

    def close(self) -> None:
        """Close it; the next post makes another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
