"""The guests of one kind on this host, for one installation: started, found, looked at, removed. Everything may block.

Nothing is kept in memory. A guest is a folder, with its process written down by number and start: it runs on when the
central ends, and whoever looks next finds it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from central.clouds.checking import flavor as flavor_of
from central.clouds.checking import named
from central.clouds.guests import processes, records, sizes
from central.clouds.guests.hypervisor import Guest, Hypervisor
from central.clouds.guests.records import Record
from central.clouds.port import Flavor, Intent, Machine, Named, Quota, Room, State
from central.elements.here import INHERITED
from central.elements.port import ComputingError, Trouble
from pilot.errors import PilotageError, of_system

#: Bytes of a console that are kept.
CONSOLE = 1024 * 1024
#: Seconds in which a guest that was made has a process, and in which one that is killed is over.
_SOON, _KILLED = 10.0, 10.0
_SCRIPT = Path(__file__).with_name("machine.sh")


@dataclass(frozen=True)
class Guests:
    """Where they are, and how they are run."""

    hypervisor: Hypervisor
    folder: Path
    central: str
    wall: Callable[[], float]

    @property
    def machines_folder(self) -> Path:
        return self.folder / "machines"

    # -- what there is ----------------------------------------------------------------------------------------------
    def validate(self) -> None:
        """Raises `ComputingError`."""
        if lacking := self.hypervisor.lacks():
            raise ComputingError(f"guests of the kind {self.hypervisor.kind} need {lacking}", Trouble.REFUSED)
        self._sizes()

    def images(self) -> Sequence[Named]:
        with _told("the images"):
            found = sorted((self.folder / "images").glob("*"))
            return [Named(image.name, image.name) for image in found if self.hypervisor.boots(image)]

    def networks(self) -> Sequence[Named]:
        with _told("the networks"):
            return self.hypervisor.networks()

    def flavors(self) -> Sequence[Flavor]:
        return self._sizes().flavors

    def quota(self) -> Quota:
        """Guests of every kind and installation count; those that are off use nothing."""
        bound = self._sizes()
        with _told("the machines"):
            every = records.every(self.machines_folder, self.hypervisor.kind)
            running = [
                record for folder, record in every if self._state(folder, record) in (State.RUNNING, State.BUILDING)
            ]
        return Quota(
            Room(len(running), bound.machines),
            Room(sum(record.cores for record in running), bound.cores),
            Room(sum(record.memory for record in running), bound.memory),
        )

    def _sizes(self) -> sizes.Sizes:
        try:
            return sizes.read(self.folder)
        except PilotageError as error:
            raise ComputingError(str(error), Trouble.REFUSED) from error

    # -- one guest --------------------------------------------------------------------------------------------------
    def create(self, intent: Intent) -> str:
        """Start one, where there is none of that stamp. Returns its id; raises `ComputingError`."""
        id = records.id_of(self.central, intent.stamp)
        if not records.good(id):
            raise ComputingError(f"expected a stamp of 32 hex digits, got {intent.stamp!r}", Trouble.REFUSED)
        if intent.spot:
            raise ComputingError("guests of this host are not taken back: expected spot = false", Trouble.REFUSED)
        if len(intent.networks) > 1:
            raise ComputingError(f"a guest has one network, got {', '.join(intent.networks)}", Trouble.REFUSED)
        size = flavor_of(self.flavors(), intent.flavor)
        named("image", self.images(), intent.image)
        for network in intent.networks:
            named("network", self.networks(), network)
        guest = Guest(
            id=id,
            folder=self.machines_folder / id,
            image=(self.folder / "images" / intent.image).resolve(),
            flavor=size,
            networks=intent.networks,
            user_data=intent.user_data,
        )
        with _told(f"the machine {id}"):
            if self._claim(guest, intent.queue):
                self._start(guest)
        return id

    def _claim(self, guest: Guest, queue: str) -> bool:
        """Make the folder, if there is room; False: it was there."""
        self.machines_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(self.folder):
            if guest.folder.exists():
                return False
            if self.quota().machines_of(guest.flavor) == 0:
                raise ComputingError(f"this host has no room for another machine of {guest.flavor.name}", Trouble.FULL)
            guest.folder.mkdir(mode=0o700)
            size = guest.flavor
            made = Record(
                central=self.central,
                stamp=guest.id.rpartition("-")[2],
                queue=queue,
                kind=self.hypervisor.kind,
                flavor=size.name,
                cores=size.cores,
                memory=size.memory,
                created=self.wall(),
            )
            records.put(guest.folder, made)
        return True

    def _start(self, guest: Guest) -> None:
        """A guest that could not be started leaves nothing behind."""
        try:
            start = self.hypervisor.prepare(guest)
            argv = ["/bin/sh", str(_SCRIPT), str(guest.folder), *map(str, start.groups), "--", *start.argv]
            inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
            processes.start(argv, guest.folder / "console", inherited)
        except Exception:  # whatever it was, and it is raised again: what is left would count, and hold a secret
            with contextlib.suppress(OSError):
                self._remove(guest.id)
            raise

    def machines(self) -> Sequence[Machine]:
        """Those of this installation. What they print is cut to its end on the way."""
        with _told("the machines"):
            found = []
            for folder, record in records.every(self.machines_folder, self.hypervisor.kind):
                if self._ours(record):
                    _trim(folder / "console")
                    found.append(self._machine(folder, record))
            return found

    def machine(self, id: str) -> Machine | None:
        with _told(f"the machine {id}"):
            record = self._record(id)
            return self._machine(self.machines_folder / id, record) if record else None

    def delete(self, id: str) -> None:
        """Kill it, and remove all that it had."""
        with _told(f"the machine {id}"):
            if self._record(id):
                self._remove(id)

    def _remove(self, id: str) -> None:
        folder = self.machines_folder / id
        process = processes.written(folder / "process")
        if process and not process.end(_KILLED):
            raise ComputingError(f"the machine {id} has been killed and is not over", Trouble.UNREACHABLE)
        self.hypervisor.release(id)
        shutil.rmtree(folder)

    def console(self, id: str) -> bytes:
        with _told(f"the console of {id}"):
            return _end(self.machines_folder / id / "console") if self._record(id) else b""

    def _record(self, id: str) -> Record | None:
        if not records.good(id):
            return None
        record = records.get(self.machines_folder / id, self.hypervisor.kind)
        return record if record and self._ours(record) else None

    def _ours(self, record: Record) -> bool:
        return record.central == self.central and record.kind == self.hypervisor.kind

    def _machine(self, folder: Path, record: Record) -> Machine:
        state = self._state(folder, record)
        why = {State.FAILED: "it was never started", State.STOPPED: "it is off"}.get(state, "")
        return Machine(record.id, record.stamp, record.queue, state, record.created, record.flavor, why=why)

    def _state(self, folder: Path, record: Record) -> State:
        process = processes.written(folder / "process")
        if process is None:
            return State.BUILDING if self.wall() - record.created < _SOON else State.FAILED
        return State.RUNNING if process.alive() else State.STOPPED


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """What the system refuses is trouble of this cloud."""
    try:
        yield
    except OSError as error:
        raise ComputingError(f"{what} of this host: {of_system(error)}", Trouble.UNREACHABLE) from error


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One creation at a time on this host: each counts what there is."""
    with open(folder / "lock", "ab", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        until = time.monotonic() + _SOON
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)
        yield


def _end(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - CONSOLE))
            return file.read(CONSOLE)
    except FileNotFoundError:
        return b""


def _trim(path: Path) -> None:
    """Cut what is printed to its end, in place: it is written to at its end, wherever that is."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > 4 * CONSOLE:
            kept = _end(path)
            with open(path, "r+b") as file:
                file.truncate(0)
            with open(path, "ab") as file:
                file.write(kept)
