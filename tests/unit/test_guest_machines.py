"""Guests as folders: what is told of them, and what of them is touched."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from central.clouds.guests import records
from central.clouds.guests.guests import CONSOLE, Guests
from central.clouds.guests.hypervisor import Guest, Start
from central.clouds.guests.processes import Process, written
from central.clouds.port import Flavor, Intent, Named, State
from central.elements.port import ComputingError, Trouble

STAMP, OTHER = "a" * 32, "b" * 32
BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass
class NoHypervisor:
    """One that boots whatever there is, and then fails."""

    kind: str = "none"
    released: list[str] = field(default_factory=list)
    problem: str = ""
    failure: Exception = field(default_factory=lambda: OSError(28, "No space left on device", "disk"))

    def lacks(self) -> str:
        return self.problem

    def boots(self, image: Path) -> bool:
        return image.is_dir()

    def networks(self) -> Sequence[Named]:
        return [Named("host", "host")]

    def prepare(self, guest: Guest) -> Start:
        (guest.folder / "half").write_text("done")
        raise self.failure

    def release(self, id: str) -> None:
        self.released.append(id)


@dataclass
class House:
    """Guests of one installation in a folder, at a time."""

    folder: Path
    now: float = 1000.0
    hypervisor: NoHypervisor = field(default_factory=NoHypervisor)

    def of(self, central: str = "aaaa1111") -> Guests:
        return Guests(self.hypervisor, self.folder, central, lambda: self.now)

    def add(self, central: str, stamp: str, process: str | None = "") -> Path:
        """A guest; `process`: what is written down of it, None for nothing."""
        folder = self.folder / "machines" / records.id_of(central, stamp)
        folder.mkdir(parents=True)
        records.put(folder, records.Record(central, stamp, "cloud", "none", "small", 1, 2 * 1024**3, self.now))
        if process is not None:
            (folder / "process").write_text(process or here())
        return folder


def here(boot: str = "", later: int = 0) -> str:
    """What is written down of a process: this one, of another boot of the host, or that began later."""
    before, _, after = Path("/proc/self/stat").read_text().rpartition(")")
    words = after.split()
    words[19] = str(int(words[19]) + later)
    name = before.partition("(")[0] + "(a name (of ) two)"
    return f"{boot or BOOT.read_text().strip()} {name} {' '.join(words)}\n"


@pytest.fixture
def house(tmp_path: Path) -> House:
    (tmp_path / "images" / "plain").mkdir(parents=True)
    return House(tmp_path)


def intent(**change: Any) -> Intent:
    given: dict[str, Any] = {
        "stamp": STAMP,
        "queue": "cloud",
        "flavor": "small",
        "image": "plain",
        "user_data": b"",
        **change,
    }
    return Intent(**given)


def test_a_process_is_known_by_its_number_and_its_start(tmp_path: Path) -> None:
    """Another process with the number, or one of an earlier boot of the host, is not taken for it."""
    path = tmp_path / "process"
    assert written(path) is None
    for text, alive in ((here(), True), (here(later=1), False), (here(boot="0-0"), False)):
        path.write_text(text)
        process = written(path)
        assert process is not None
        assert process.pid == os.getpid()
        assert process.alive() is alive
    assert Process("0-0", os.getpid(), 1).end(0.0), "it is not ended, since it is over"


def test_what_a_crash_of_the_host_left_of_a_process_is_none_that_runs(tmp_path: Path) -> None:
    """A file that was never written to the disk stops no list, and nothing is killed for it."""
    path = tmp_path / "process"
    for content in (b"", b"\0" * 200, b"\xff\xfe", here().encode()[:60]):
        path.write_bytes(content)
        process = written(path)
        assert process is not None
        assert not process.alive()
        assert process.end(0.0)


def test_what_is_listed(house: House) -> None:
    """Every guest of ours with its state; those of other installations and strange folders are nobody's of ours."""
    house.add("aaaa1111", STAMP)
    house.add("aaaa1111", OTHER, here(boot="0-0"))
    house.add("aaaa1111", "c" * 32, None)
    house.add("bbbb2222", "d" * 32)
    (house.folder / "machines" / "lost+found").mkdir()
    listed = {one.stamp: one for one in house.of().machines()}
    assert {stamp[0]: one.state for stamp, one in listed.items()} == {
        "a": State.RUNNING,
        "b": State.STOPPED,
        "c": State.BUILDING,
    }
    house.now += 60
    assert house.of().machine(listed["c" * 32].id).state is State.FAILED  # type: ignore[union-attr]
    assert (listed[STAMP].queue, listed[STAMP].flavor, listed[STAMP].created) == ("cloud", "small", 1000.0)


def test_a_folder_with_nothing_in_it_is_found(house: House) -> None:
    """What a crash left the moment that a guest was made is listed by its stamp, as never started, and can go."""
    (house.folder / "machines" / records.id_of("aaaa1111", STAMP)).mkdir(parents=True)
    house.now = 4e9
    [machine] = house.of().machines()
    assert (machine.stamp, machine.state, machine.queue) == (STAMP, State.FAILED, "")
    house.of().delete(machine.id)
    assert house.of().machines() == []


def test_others_are_left_alone(house: House) -> None:
    """A guest of another installation is none, and is not deleted; nor is anything else that an id may name."""
    folder = house.add("bbbb2222", STAMP, here(boot="0-0"))
    for id in (folder.name, "../machines", "", "pilotage-aaaa1111-" + STAMP):
        assert house.of().machine(id) is None
        assert house.of().console(id) == b""
        house.of().delete(id)
    assert folder.exists()
    assert house.hypervisor.released == []


def test_one_that_could_not_be_started_leaves_nothing(house: House) -> None:
    """A full disk is trouble that may pass, and there is no folder of it."""
    with pytest.raises(ComputingError) as caught:
        house.of().create(intent())
    assert caught.value.trouble is Trouble.UNREACHABLE
    assert "No space left on device" in str(caught.value)
    assert house.of().machines() == []
    assert house.hypervisor.released == [records.id_of("aaaa1111", STAMP)]


def test_a_fault_of_ours_leaves_nothing_either(house: House) -> None:
    """It is told as it is, and there is no folder with a secret in it."""
    house.hypervisor.failure = ZeroDivisionError("ours")
    with pytest.raises(ZeroDivisionError):
        house.of().create(intent())
    assert list((house.folder / "machines").iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        {"flavor": "vast"},
        {"image": "../machines"},
        {"image": "gone"},
        {"spot": True},
        {"stamp": "../x"},
        {"networks": ("elsewhere",)},
        {"networks": ("host", "host")},
    ],
)
def test_what_will_never_do_is_refused(house: House, change: dict[str, Any]) -> None:
    """Before anything is made."""
    with pytest.raises(ComputingError) as caught:
        house.of().create(intent(**change))
    assert caught.value.trouble is Trouble.REFUSED
    assert not (house.folder / "machines").exists()


def test_the_quota_counts_what_runs(house: House) -> None:
    """Guests of every installation count, those that are off do not; where there is no room none is made."""
    (house.folder / "guests.toml").write_text('[quota]\nmachines = 2\ncores = 8\nmemory = "64 GB"\n')
    house.add("aaaa1111", OTHER)
    house.add("bbbb2222", STAMP, here(boot="0-0"))
    assert house.of().quota().machines_of(Flavor("", "", 1, 1)) == 1
    house.add("bbbb2222", OTHER)
    with pytest.raises(ComputingError) as caught:
        house.of().create(intent())
    assert caught.value.trouble is Trouble.FULL
    assert len(house.of().machines()) == 1


def test_asking_again(house: House) -> None:
    """The same stamp has the same id, and nothing is started."""
    folder = house.add("aaaa1111", STAMP)
    assert house.of().create(intent()) == folder.name


def test_a_console_is_bounded(house: House) -> None:
    """Its end is handed out; a file that grew large is cut to that by the way."""
    folder = house.add("aaaa1111", STAMP)
    (folder / "console").write_bytes(b"x" * 5 * CONSOLE + b"the end")
    [machine] = house.of().machines()
    assert (folder / "console").stat().st_size == CONSOLE
    console = house.of().console(machine.id)
    assert len(console) == CONSOLE
    assert console.endswith(b"the end")


def test_what_the_host_lacks(house: House) -> None:
    """It is said in a sentence."""
    house.of().validate()
    house.hypervisor.problem = "a thing"
    with pytest.raises(ComputingError, match="need a thing"):
        house.of().validate()
