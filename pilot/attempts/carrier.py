"""Finds what a payload has left in its job's directory, and brings each file to one place, trying once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

from commands.context import Sandboxes
from pilot.attempts import staged
from pilot.attempts.outputs import Collected, Output, collect
from pilot.binds import Bind
from pilot.destination import SANDBOX, Target, target_of
from pilot.destinations.port import Errand, Pause, Rejected, Source, digests_of
from pilot.destinations.storages import Storages
from pilot.errors import InvalidInput
from pilot.payloads.slot_users import SlotUser
from pilot.persist import Stopped, persist
from pilot.protocol import Lease, OutputFile, OutputRule

if TYPE_CHECKING:
    from pilot.attempts.parcels import Parcel


@dataclass(frozen=True)
class Carrier:
    """Of one attempt, for its threads."""

    lease: Lease
    directory: Path
    sandboxes: Sandboxes
    random: Callable[[], float]
    owner: Optional[SlotUser] = None  # of the files: nothing is read that this user could not read
    storages: Storages = field(default_factory=lambda: Storages({}))
    seen: Optional[tuple[Bind, ...]] = None  # what the payload's container sees of the node; None: it had none
    aside: Path = Path()  # a folder of the attempt's
    newest: Optional[Callable[[], Lease]] = None  # the lease, with credentials that were set anew since

    def find(self, rules: Sequence[OutputRule]) -> Collected:
        """What the rules name. Raises `TooDeep`."""
        return collect(rules, self.directory, self.owner, staged.read(self.aside))

    def bring(self, output: Output, pause: Pause) -> OutputFile:
        """Store one file in the sandbox store, however often that takes. `pause` waits between tries and says when to
        stop. Raises `Refusal`, `OSError`, `Stopped`."""
        if pause(0):
            raise Stopped(None)
        digests = digests_of(output.path, self.owner)
        persist(lambda: self.sandboxes.store(self.lease, output.path, digests.sha256, digests.size), pause, self.random)
        return OutputFile(output.name, digests.size, digests.sha256, (SANDBOX,))

    def deliver(self, parcel: Parcel, destination: str, pause: Pause) -> OutputFile:
        """Bring one output to one destination. Tries once.

        Raises `Rejected`, `TransportError`, `Refusal`, `OSError` for the file itself, `Stopped`.
        """
        output = parcel.output
        if parcel.digests is None:
            parcel.digests = digests_of(output.path, self.owner)
        digests = parcel.digests
        if destination == SANDBOX:
            self.sandboxes.store(self.lease, output.path, digests.sha256, digests.size)
            return OutputFile(output.name, digests.size, digests.sha256, (SANDBOX,))
        target = self.target(destination, output.name)
        source = Source(output.path, digests, self.owner)
        self.storages.of(target.kind).put(source, target, self.errand(pause))
        return OutputFile(output.name, digests.size, digests.sha256, (target.url,), digests.adler32)

    def origin(self, destination: str) -> str:
        """What is away together with a destination, when it is away."""
        return "/".join(destination.split("/", 3)[:3])

    def target(self, destination: str, name: str) -> Target:
        """Where an output of that name goes. Raises `Rejected`."""
        try:
            return target_of(destination, self.lease.job, self.lease.attempt, name)
        except InvalidInput as problem:
            raise Rejected(str(problem)) from problem

    def errand(self, pause: Pause) -> Errand:
        lease = self.lease if self.newest is None else self.newest()
        return Errand(lease, pause, self.owner, self.seen, self.aside)
