"""What must reach the central is kept until it has, in order."""

from pathlib import Path

import pytest

from pilot.messages import Release, Report, Step
from pilot.monitor.spool import Spool
from pilot.protocol import AttemptId, AttemptReport, StepReport
from pilot.states import Outcome, Phase


def report(job: int, phase: Phase = Phase.ENDED) -> Report:
    outcome = Outcome.SUCCESS if phase is Phase.ENDED else None
    return Report(0, job, 1, AttemptReport(phase, outcome))


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def spool(tmp_path: Path, said: list[str]) -> Spool:
    spool = Spool(tmp_path / "spool", said.append)
    spool.open()
    return spool


def test_kept_on_disk_until_done(spool: Spool) -> None:
    """An item is a private file from `put` on, and gone once it is done; so is the folder at the end."""
    spool.put(report(1))
    (path,) = spool.folder.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert spool.content().reports == 1
    assert spool.content().bytes == path.stat().st_size
    entry, wait = spool.due(0.0)
    assert entry is not None
    assert (entry.item, wait) == (report(1), 0.0)
    spool.done(entry)
    assert spool.content().reports == 0
    spool.close()
    assert not spool.folder.exists()


def test_survives(spool: Spool, said: list[str]) -> None:
    """Another process finds what was not delivered, in order; what is no report stays untouched."""
    items = [report(1), Release(0, (AttemptId(2, 1),), "why"), Step(0, StepReport(1, "discover"))]
    for item in items:
        spool.put(item)
    (spool.folder / "0000000009.json").write_text("rubbish")
    again = Spool(spool.folder, said.append)
    again.open()
    found = []
    for _ in items:
        entry, _ = again.due(0.0)
        assert entry is not None
        found.append(entry.item)
        again.done(entry)
    assert found == items
    assert "0000000009.json is no report" in said[0]
    again.close()
    assert [path.name for path in spool.folder.iterdir()] == ["0000000009.json"]


def test_one_attempt_in_order(spool: Spool) -> None:
    """A report waits for the earlier one of its attempt; other attempts do not wait."""
    spool.put(report(1, Phase.RUNNING))
    first, _ = spool.due(0.0)
    spool.put(report(1))
    spool.put(report(2))
    second, _ = spool.due(0.0)
    assert first is not None
    assert second is not None
    assert second.item == report(2)
    assert spool.due(0.0)[0] is None
    spool.again(first, not_before=5.0)
    entry, wait = spool.due(0.0)
    assert (entry, wait) == (None, 5.0)
    assert spool.due(5.0)[0] is first
    spool.done(first)
    third, _ = spool.due(5.0)
    assert third is not None
    assert third.item == report(1)


def test_overtaken(spool: Spool) -> None:
    """A phase that waits is not sent once the attempt is further; one on its way, and an end, stay."""
    spool.put(report(1, Phase.RUNNING))
    spool.put(report(2, Phase.RUNNING))
    on_its_way, _ = spool.due(0.0)
    spool.put(report(1))
    spool.put(report(2))
    assert on_its_way is not None
    assert spool.content().reports == 3
    assert len(list(spool.folder.iterdir())) == 3
    spool.done(on_its_way)
    rest = [spool.due(0.0)[0], spool.due(0.0)[0]]
    assert [entry.item for entry in rest if entry] == [report(1), report(2)]


def test_only_results_are_left_behind(spool: Spool) -> None:
    """When the pilot ends, what says nothing without it is thrown away, and reports stay."""
    for item in (Step(0, StepReport(1, "discover")), report(1), Release(0, (AttemptId(2, 1),), "why")):
        spool.put(item)
    assert (spool.results, spool.content().reports) == (1, 3)
    spool.close()
    assert [path.name for path in spool.folder.iterdir()] == ["0000000002.json"]


def test_full_disk(tmp_path: Path, said: list[str]) -> None:
    """Where nothing can be written a report is kept in memory, and the log says so."""
    spool = Spool(tmp_path / "missing" / "spool", said.append)
    spool.put(report(1))
    entry, _ = spool.due(0.0)
    assert entry is not None
    assert entry.item == report(1)
    assert "kept in memory only" in said[0]
    spool.done(entry)
    assert spool.content().reports == 0
