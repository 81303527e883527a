"""Real centrals for the tests, one for a module, and whole systems, one for a test; ended by their process id."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from pilotage import Client
from tests.integration.running_central import RunningCentral, made_central
from tests.system import System, running_system

CentralMaker = Callable[..., RunningCentral]


@pytest.fixture(scope="module")
def make_central(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CentralMaker]:
    """Makes centrals: `extra` is more for the section ``[central]``, `more` more of the file, `program` what is run."""
    made: list[RunningCentral] = []

    def make(extra: str = "", more: str = "", program: Sequence[str] = ("-m", "central")) -> RunningCentral:
        central = made_central(tmp_path_factory.mktemp("central"), extra, more, program)
        made.append(central)
        central.start()
        return central

    yield make
    for central in made:
        central.close()


@pytest.fixture(scope="module")
def central(make_central: CentralMaker) -> RunningCentral:
    """One central for the tests of a module."""
    return make_central()


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    """A whole Pilotage for one test."""
    with running_system(tmp_path / "central") as system:
        yield system


@pytest.fixture
def client(system: System) -> Iterator[Client]:
    """A client of the system."""
    with system.client() as client:
        yield client
