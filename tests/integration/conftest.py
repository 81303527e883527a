"""Real centrals for the tests, one for a module, ended by their process id."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.integration.running_central import RunningCentral, make_folder

CentralMaker = Callable[..., RunningCentral]


@pytest.fixture(scope="module")
def make_central(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CentralMaker]:
    """Makes centrals: `extra` is more for the section ``[central]``, `more` more of the file, `program` what is run."""
    made: list[RunningCentral] = []

    def make(extra: str = "", more: str = "", program: Sequence[str] = ("-m", "central")) -> RunningCentral:
        folder = tmp_path_factory.mktemp("central")
        central = RunningCentral(folder, make_folder(folder, extra, more), program)
        made.append(central)
        (folder / "given.pyz").write_bytes(b"what pilots would be started from")
        done = central.run("init", "--pilot", str(folder / "given.pyz"))
        assert done.returncode == 0, done.stderr
        central.start()
        return central

    yield make
    for central in made:
        central.close()


@pytest.fixture(scope="module")
def central(make_central: CentralMaker) -> RunningCentral:
    """One central for the tests of a module."""
    return make_central()
