"""What became of pilots that left no exit code, where the list does not say: the accounts are asked, one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from central.elements.batch import MOST_RECALLED, BatchElement
from central.elements.host import Ran
from central.elements.places import HEAD
from central.elements.port import ComputingError, Listed, Standing, Trouble
from central.elements.system import Door
from central.elements.systems.gridengine import GridEngine
from tests.unit.element_answers import captured, stamp

NO_JOBS = b"<job_info></job_info>"


class Cluster:
    """A host whose folders are as given, whose list is empty, and whose accounts answer or do not."""

    name = "this host"

    def __init__(self, folders: bytes, accounts: Ran | ComputingError) -> None:
        self.folders = folders
        self.accounts = accounts
        self.asked: list[str] = []

    async def run(self, argv: Sequence[str], stdin: bytes = b"") -> Ran:
        if argv[0] == "qstat":
            return Ran(0, NO_JOBS, b"")
        if argv[0] == "qacct":
            self.asked.append(argv[2])
            if isinstance(self.accounts, ComputingError):
                raise self.accounts
            return self.accounts
        return Ran(0, self.folders, b"")

    async def close(self) -> None:
        pass


def listing(cluster: Cluster) -> Sequence[Listed]:
    return asyncio.run(BatchElement(cluster, GridEngine(Door()), "/home/us/pilots").listing())


def folders(count: int, codes: str = "") -> bytes:
    """As many folders of pilots, some of which have left codes."""
    return (f"{HEAD}\n" + "".join(f"{stamp(number)}\n" for number in range(1, count + 1)) + "\n" + codes).encode()


def test_one_that_vanished_is_recalled() -> None:
    """A pilot that is in no list and has left no code has ended as the accounts say; one with a code is not asked."""
    cluster = Cluster(folders(4, f"./{stamp(1)}/exit:0\n"), captured("gridengine/qacct-limit"))
    entries = {entry.stamp: entry for entry in listing(cluster)}
    assert sorted(cluster.asked) == [f"p{stamp(number)}" for number in (2, 3, 4)]
    assert entries.keys() == {stamp(1), stamp(4)}
    assert entries[stamp(1)] == Listed(stamp(1), "", Standing.ENDED, 0)
    assert (entries[stamp(4)].standing, entries[stamp(4)].exit_code) == (Standing.ENDED, 137)
    assert "h_rt" in entries[stamp(4)].why


def test_accounts_that_do_not_answer() -> None:
    """Then nothing follows: the pilot is neither ended nor alive, and the rest of the list stands."""
    silent = ComputingError("qacct did not end", Trouble.UNREACHABLE)
    entries = listing(Cluster(folders(2, f"./{stamp(1)}/exit:7\n"), silent))
    assert entries == [Listed(stamp(1), "", Standing.ENDED, 7)]


def test_few_questions_at_a_time() -> None:
    """However many have vanished, a list asks about a few of them, and the next one about others."""
    cluster = Cluster(folders(2 * MOST_RECALLED), Ran(1, b"", b"error: job name not found"))
    element = BatchElement(cluster, GridEngine(Door()), "/home/us/pilots")
    assert asyncio.run(element.listing()) == []
    assert len(cluster.asked) == MOST_RECALLED
    assert asyncio.run(element.listing()) == []
    assert len(set(cluster.asked)) == 2 * MOST_RECALLED
