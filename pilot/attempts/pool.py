"""The Pool: many attempts side by side on one node, each in a slot and a thread of its own.

It is the port `commands.context.Computing` for the commands, and receives the monitor's orders.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Optional

from commands.context import Capacity, Faults, Node
from pilot.attempts.attempt import Attempt, Services
from pilot.attempts.containers import all_isolated, offerable
from pilot.attempts.directory import AttemptDirectory
from pilot.attempts.peek import Shows
from pilot.attempts.slots import Key, NoRoom, Slot, Slots, scratch
from pilot.attempts.verdict import GONE, Verdict
from pilot.attempts.watchdog import Limits
from pilot.errors import PilotageError
from pilot.health import Health
from pilot.payloads.slot_users import SlotUser
from pilot.protocol import Amount, Credential, Lease, Offer, Settings
from pilot.states import Outcome, PilotReason

#: Attempts whose payload has ended and whose files are still on their way; with more, no new job is asked for.
MAX_COMPLETING = 64
#: Seconds between two reports of progress.
PROGRESS = 1.0
#: The most seconds from a kill order to SIGKILL: whoever gave it sees its end within ten.
KILL_GRACE = 8.0
#: Seconds that payloads get when the pilot ends without anybody having said how long they may take.
LAST_GRACE = 10.0
#: Seconds beyond the grace that attempts get to report.
LAST_REPORTS = 60.0


class Pool:
    """Attempts of one agent. Any method may be called from any thread."""

    def __init__(
        self, site: str, queue: str, work: Path, settings: Settings, node: Node, services: Services
    ) -> None:  # fmt: skip
        self.site = site
        self.queue = queue
        self.work = work
        self.settings = settings
        self.node = node
        self.services = services
        self._changed = threading.Condition()
        self._news = False
        self._slots = Slots(Capacity(cores=0))
        self._prepared: Mapping[str, str] = {}
        self._attempts: dict[Key, Attempt] = {}
        self._end_of_life: Amount = None  # by the monotonic clock
        self._noticed_end: Optional[int] = None  # the same, as the machine gave notice of it
        self._stopping: Optional[tuple[PilotReason, str]] = None
        self._stopped = False
        self._beside = False  # whether other agents run payloads
        self._health = Health()
        self._progressed = 0.0
        self._shows = Shows(services.central, services.say)

    # -- commands.context.Computing -----------------------------------------------------------------------------------

    def open(self, capacity: Capacity, environment: Mapping[str, str]) -> None:
        capacity = offerable(capacity, self.services.containers)
        left = capacity.seconds_left
        with self._changed:
            self._slots = Slots(capacity)
            self._prepared = dict(environment)
            self._end_of_life = int(time.monotonic()) + left if isinstance(left, int) else left
        self.services.timesheet.open(capacity.cores)
        if isinstance(left, int):
            self.services.central.lifetime(left)

    def offer(self) -> Offer:
        free_now = self.node.free_disk(self.work)
        writable = None if free_now is None else max(0, free_now - self.settings.min_disk)
        with self._changed:
            slots, node = self._slots, self._slots.node
            full = len(self._attempts) - sum(1 for slot in slots.taken.values() if slot.cores) >= MAX_COMPLETING
            users = self.services.containment.users
            full = full or (users is not None and not users.any_free())
            return Offer(
                site=self.site,
                queue=self.queue,
                cores=0 if full else slots.free_cores,
                memory=slots.free_memory,
                disk=scratch(slots.free_disk, writable, self._unwritten()),
                gpus=tuple(gpu.offered() for gpu in slots.free_gpus),
                seconds_left=self._seconds_left(),
                power=self.node.power(),
                platform=node.platform,
                tags=node.tags,
                unknown_tags=node.unknown_tags,
                required_tags=node.required_tags,
                communities=node.communities,
                owners=self.services.word.owners,
                isolation=(users is not None or all_isolated(self.settings, node.tags)) and not node.exposed,
                empty=slots.empty,
            )

    def start(self, lease: Lease) -> None:
        key = (lease.job, lease.attempt)
        refused = self.services.word.refuses(lease)
        if refused:
            raise PilotageError(refused)
        with self._changed:
            if self._stopping is not None:
                raise PilotageError(f"the pilot starts no new job: {self._stopping[1]}")
            granted = self._slots.allocate(key, lease.spec.needs, lease.cores or None)
            if isinstance(granted, NoRoom):
                raise PilotageError(f"no slot for attempt {lease.attempt} of job {lease.job}: {granted.why}")
            owner = self._owner(self._place(lease))
            self._slots, slot = granted
            attempt = self._attempts[key] = self._attempt(lease, slot, owner)
        self.services.timesheet.begin(lease, slot.cores)
        name = f"attempt {lease.job}.{lease.attempt}"
        try:
            threading.Thread(target=attempt.run, name=name, daemon=True).start()
        except RuntimeError as error:  # no more threads for this user
            self._ended(key)
            raise PilotageError(f"no thread for attempt {lease.attempt} of job {lease.job}: {error}") from error

    def running(self) -> int:
        with self._changed:
            return len(self._attempts)

    def busy_beside(self) -> bool:
        with self._changed:
            return self._beside

    def faults(self) -> Faults:
        with self._changed:
            return self._health.faults

    def wait(self, seconds: float) -> bool:
        with self._changed:
            if not self._news:
                self._changed.wait(seconds)
            news, self._news = self._news, False
            return news

    def wake(self) -> None:
        with self._changed:
            self._tell()

    def stopping(self) -> Optional[tuple[PilotReason, str]]:
        with self._changed:
            return self._stopping

    def close(self) -> None:
        if self.running():
            self.stop(PilotReason.INTERNAL, "the pilot ends", LAST_GRACE)
        end = time.monotonic() + LAST_GRACE + LAST_REPORTS
        while self.running() and time.monotonic() < end:
            with suppress(PilotageError):  # who has lost the monitor ends in good order all the same
                self.services.central.tick()
            self.wait(1.0)
        self.services.watchdog.stop()
        self.services.containment.close()
        self.services.storages.close()

    # -- commands.context.Orders --------------------------------------------------------------------------------------

    def kill(self, job: int, attempt: int, reason: str) -> None:
        with self._changed:
            found = self._attempts.get((job, attempt))
        if found is not None:
            grace = min(found.lease.spec.grace, KILL_GRACE)
            found.end(Verdict(Outcome.KILLED, reason or "killed", grace=grace))

    def show(self, job: int, attempt: int, order: int, argument: str) -> None:
        with self._changed:
            found = self._attempts.get((job, attempt))
        if found is not None:
            self._shows.show(found.place, job, attempt, order, argument)

    def renew(self, job: int, attempt: int, credentials: Sequence[Credential]) -> None:
        with self._changed:
            found = self._attempts.get((job, attempt))
        if found is not None:
            found.keys.renew(credentials)

    def gone(self, job: int, attempt: int) -> None:
        with self._changed:
            found = self._attempts.get((job, attempt))
        if found is not None:
            found.end(GONE)

    def drain(self, reason: PilotReason, message: str) -> None:
        with self._changed:
            self._stopping = self._stopping or (reason, message)
            self._tell()
        self.services.timesheet.close()

    def stop(self, reason: PilotReason, message: str, grace: float, files: float = 0.0) -> None:
        with self._changed:
            if not self._stopped:  # it says more than a drain that went before
                self._stopping, self._stopped = (reason, message), True
            attempts = list(self._attempts.values())
            self._tell()
        self.services.timesheet.close()
        for attempt in attempts:
            attempt.end(Verdict(Outcome.PREEMPTED, message, grace=grace, files=files))

    def lifetime(self, seconds: int) -> None:
        with self._changed:
            self._noticed_end = int(time.monotonic()) + seconds
            self._tell()

    def beside(self, busy: bool) -> None:
        with self._changed:
            self._beside = busy
            self._tell()

    # -- for the watchdog ---------------------------------------------------------------------------------------------

    def progress(self) -> None:
        """Say what runs, now and then."""
        now = time.monotonic()
        with self._changed:
            if now - self._progressed < PROGRESS:
                return
            self._progressed = now
            attempts = list(self._attempts.values())
        self.services.central.progress([attempt.lease_report() for attempt in attempts])

    # -- inside -------------------------------------------------------------------------------------------------------

    def _place(self, lease: Lease) -> Path:
        return self.work.absolute() / "attempts" / f"{lease.job}.{lease.attempt}"

    def _owner(self, place: Path) -> Optional[SlotUser]:
        """As whom the payload there runs, None: as we do. Raises `PilotageError` when everybody is busy."""
        users = self.services.containment.users
        owner = users.take(place) if users is not None else None
        if users is not None and owner is None:
            raise PilotageError("none of the users for payloads is free")
        return owner

    def _attempt(self, lease: Lease, slot: Slot, owner: Optional[SlotUser]) -> Attempt:
        key = (lease.job, lease.attempt)
        place = AttemptDirectory(self._place(lease), owner)
        attempt = Attempt(lease, slot, self._limits(lease, slot), place, self._prepared, self.services)
        attempt.freed = lambda: self._freed(key)
        attempt.ended = lambda: self._ended(key)
        return attempt

    def _limits(self, lease: Lease, slot: Slot) -> Limits:
        """Who asked for no memory may use what the node has; who asked for no disk, what is free, within reason."""
        memory, free, default = self._slots.node.memory, self._slots.free_disk, self.settings.default_disk
        if isinstance(free, int):
            default = max(self.settings.min_disk, min(default, free))
        return Limits(
            wall_time=lease.spec.needs.wall_time,
            memory=slot.memory or (memory if isinstance(memory, int) else None),
            disk=slot.disk or default,
            cpu_time=lease.spec.cpu_time or slot.cores * lease.spec.needs.wall_time,
            processes=self.settings.max_processes or None,
            no_progress=lease.spec.no_progress or None,
            promised=slot.memory > 0,
        )

    def _seconds_left(self) -> Amount:
        end = self._end_of_life
        if self._noticed_end is not None:
            end = min(end, self._noticed_end) if isinstance(end, int) else self._noticed_end
        return max(0, int(end - time.monotonic())) if isinstance(end, int) else end

    def _unwritten(self) -> int:
        """Bytes of disk that attempts were promised and have not used so far."""
        used = {key: attempt.lease_report().usage.disk or 0 for key, attempt in self._attempts.items()}
        return sum(max(0, slot.disk - used.get(key, 0)) for key, slot in self._slots.taken.items())

    def _judge(self, attempt: Attempt) -> None:
        """An attempt has ended: is the node still good for others?"""
        self._health = self._health.after(attempt.lease.job, attempt.outcome, attempt.told)
        if self._health.problem and self._stopping is None:
            self._stopping = (PilotReason.NODE_FAULTS, self._health.problem)

    def _freed(self, key: Key) -> None:
        self.services.timesheet.free(key)  # told before anybody can be given the cores
        with self._changed:
            self._slots = self._slots.keep_disk(key)
            self._tell()

    def _ended(self, key: Key) -> None:
        self.services.timesheet.end(key)
        with self._changed:
            self._slots = self._slots.release(key)
            attempt = self._attempts.pop(key, None)
            if attempt is not None:
                self._judge(attempt)
            users = self.services.containment.users
            if attempt is not None and attempt.place.owner is not None and users is not None and not attempt.left:
                users.give_back(attempt.place.owner)
            closing = self._stopping is not None
            self._tell()
        if closing:
            self.services.timesheet.close()

    def _tell(self) -> None:
        self._news = True
        self._changed.notify_all()
