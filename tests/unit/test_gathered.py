"""The figures of several processes, as Prometheus gets them from whichever it asks."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from central.serving.gathered import Neighbours, encode
from central.serving.metrics import Metrics


def metrics(folder: Path, worker: int, submitted: int) -> Metrics:
    made = Metrics(lambda: (worker, 10 * worker), worker, Neighbours(folder, worker) if worker else None)
    made.submitted.inc(submitted)
    return made


def samples(text: bytes, name: str) -> dict[str, float]:
    """worker → value of a figure."""
    return {
        sample.labels.get("worker", ""): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.name == name
    }


def test_whoever_is_asked_tells_what_all_have_counted(tmp_path: Path) -> None:
    """Counters of every worker come once each, told apart; what the store counts comes once."""
    Neighbours(tmp_path, 0).clear()
    one, two = metrics(tmp_path, 1, 5), metrics(tmp_path, 2, 7)
    Neighbours(tmp_path, 2).write(encode(two.registry.collect()))
    (tmp_path / "3.figures").write_bytes(b"[[1")
    text = one.text({"jobs": {"waiting": 4}})
    assert samples(text, "pilotage_jobs_submitted_total") == {"1": 5.0, "2": 7.0}
    assert samples(text, "pilotage_store_verbs_total") == {"1": 10.0, "2": 20.0}
    assert text.count(b"# TYPE pilotage_jobs_submitted_total") == 1
    assert text.count(b'pilotage_jobs{state="waiting"} 4.0') == 1


def test_workers_of_another_time_are_forgotten(tmp_path: Path) -> None:
    """Figures of workers that are there no more are not told."""
    gone = Neighbours(tmp_path / "workers", 9)
    gone.clear()
    gone.write(encode(metrics(tmp_path, 9, 1).registry.collect()))
    Neighbours(tmp_path / "workers", 0).clear()
    assert list(Neighbours(tmp_path / "workers", 1).read()) == []


def test_a_single_process_has_no_label() -> None:
    """A central that is one process tells its figures as they are."""
    assert samples(metrics(Path("nowhere"), 0, 3).text({}), "pilotage_jobs_submitted_total") == {"": 3.0}
