"""What a virtual machine's monitor says of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilot.monitor.holdings import Holdings
from pilot.monitor.machine_facts import MachineFacts, facts
from pilot.protocol import JobSpec, Lease, Spool


def values(loadavg: str = "0.50 0.25 1.75 2/345 6789\n", uptime: str = "1234.56 4000.00\n") -> dict[str, object]:
    return {fact.name: fact.value for fact in facts(loadavg, uptime, 10**9, 3)}


def test_what_is_said() -> None:
    """Three loads, the jobs, free bytes, and whole seconds since the boot."""
    assert values() == {
        "load_1": 0.5, "load_5": 0.25, "load_15": 1.75, "jobs": 3, "disk_free": 10**9, "uptime": 1234,
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "x y z", "nonsense"])
def test_what_cannot_be_read_is_unknown(text: str) -> None:
    """A file that is not there, or no such file, costs its own values alone."""
    assert [values(loadavg=text)[name] for name in ("load_1", "load_5", "load_15")] == [None] * 3
    assert values(uptime=text)["uptime"] is None
    assert values(loadavg=text)["jobs"] == 3


def test_it_goes_with_the_next_heartbeat(tmp_path: Path) -> None:
    """A look reads the machine's files, counts what is leased, and hurries no heartbeat."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/loadavg").write_text("1.00 2.00 3.00 1/2 3\n")
    hurried: list[None] = []
    holdings = Holdings(lambda: hurried.append(None))
    number = holdings.ask(1)
    holdings.hand(1, number, [Lease(7, 1, 600, JobSpec(("true",)), "token", 1)])
    holdings.got(1, number)
    before = len(hurried)
    MachineFacts(holdings, tmp_path, print, tmp_path).turn()
    MachineFacts(holdings, tmp_path / "gone", print, tmp_path).turn()
    said = {fact.name: fact.value for fact in holdings.compose(1, 1, Spool()).facts}
    assert (said["load_15"], said["jobs"], said["uptime"], said["disk_free"]) == (3.0, 1, None, None)
    assert len(hurried) == before
