"""What `doctor` prints for people: a verdict, chapters of facts with their sources, and tags."""

from __future__ import annotations

from pathlib import Path

from pilot import doctor
from pilot.protocol import Fact
from tests.captured import CASES, load

GIB = 2**30


def test_the_report_of_an_allocation() -> None:
    """First what jobs would get, then every fact once with its source, then the tags by what is known of them."""
    facts = (*load(CASES / "slurm-22-gpu").facts(), Fact("disk", 5 * 10**9, "statvfs"), Fact("odd", 1, "an extension"))
    text = doctor.report(facts, "")
    first, *rest = text.splitlines()
    assert first == (
        "This computer is fit for jobs: 2 cores, 944 MB of memory, 5.0 GB of disk, 1 GPU; time left: 1d 59m."
    )
    for fact in facts:
        lines = [line for line in rest if line.split()[:1] == [fact.name.removeprefix("tag:")]]
        assert len(lines) == 1, fact
        assert lines[0].endswith(fact.source)
    assert text.index("  hold\n") < text.index("  do not hold\n") < text.index("  unknown: neither")


def test_a_computer_that_is_not_fit(tmp_path: Path) -> None:
    """The verdict says why no job would come, in the words of the check that a pilot makes."""
    facts = (Fact("cores", 2, "affinity"),)
    assert doctor.unfit(facts, tmp_path, 10**12) == ""
    assert "has 5 B free, at least 105 MB" in doctor.unfit(facts, tmp_path, 5)
    assert "nothing can be written to" in doctor.unfit(facts, tmp_path / "missing", None)
    assert doctor.unfit((Fact("cores", None, "nobody says"),), tmp_path, None) == "no core to run jobs on: nobody says"
    assert doctor.report(facts, "no core").startswith("This computer is not fit for jobs: no core.")


def test_values_for_people() -> None:
    """Bytes, seconds, yes and no as words; nothing found and nothing there are told apart."""
    shown = {
        Fact("memory", 2_000_000_000, ""): "2.0 GB",
        Fact("gpu0_memory", 16_000_000_000, ""): "16.0 GB",
        Fact("seconds_left", 5400, ""): "1h 30m",
        Fact("seconds_left", "unlimited", ""): "unlimited",
        Fact("proxy", False, ""): "no",
        Fact("cloud", "", ""): "none",
        Fact("cloud", None, ""): "unknown",
    }
    assert {fact: doctor.show(fact) for fact in shown} == shown
