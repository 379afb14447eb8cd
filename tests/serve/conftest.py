"""One store and one service for all tests that only read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamgauge.declare import Declarations
from streamgauge.reporting import Report
from streamgauge.serve.station import StoreStation
from tests.serve.serving import Client, made, opened, reported, served


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="session")
def store(folder: Path) -> tuple[Declarations, Path]:
    return made(folder)


@pytest.fixture(scope="session")
def report(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Report]:
    """The same events reported once more, into a store of their own: what answers must agree with."""
    beside = tmp_path_factory.mktemp("beside")
    loaded, _ = made(beside)
    with reported(beside, loaded) as found:
        yield found


@pytest.fixture(scope="session")
def station(store: tuple[Declarations, Path]) -> Iterator[StoreStation]:
    with opened(*store) as found:
        yield found


@pytest.fixture(scope="session")
def client(station: StoreStation) -> Iterator[Client]:
    with served(station) as url, Client(url) as found:
        yield found
