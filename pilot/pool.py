"""The Pool: many attempts side by side on one node, each in a slot and a thread of its own.

It is the port `commands.context.Computing` for the commands, and receives the monitor's orders.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from commands.context import Capacity, Node
from pilot.attempt import Attempt, Services
from pilot.directory import AttemptDirectory
from pilot.errors import PilotageError
from pilot.protocol import Amount, Lease, Offer, Settings
from pilot.slots import Key, NoRoom, Slot, Slots
from pilot.states import Outcome, PilotReason
from pilot.verdict import GONE, Verdict
from pilot.watchdog import Limits

#: Attempts whose payload has ended and whose files are still on their way; with more, no new job is asked for.
MAX_COMPLETING = 64
#: Seconds between two reports of progress.
PROGRESS = 1.0
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
        self._stopping: Optional[tuple[PilotReason, str]] = None
        self._stopped = False
        self._progressed = 0.0

    # -- commands.context.Computing -----------------------------------------------------------------------------------

    def open(self, capacity: Capacity, environment: Mapping[str, str]) -> None:
        left = capacity.seconds_left
        with self._changed:
            self._slots = Slots(capacity)
            self._prepared = dict(environment)
            self._end_of_life = int(time.monotonic()) + left if isinstance(left, int) else left

    def offer(self) -> Offer:
        free_now = self.node.free_disk(self.work)
        with self._changed:
            slots, node = self._slots, self._slots.node
            full = len(self._attempts) - sum(1 for slot in slots.taken.values() if slot.cores) >= MAX_COMPLETING
            return Offer(
                site=self.site,
                queue=self.queue,
                cores=0 if full else slots.free_cores,
                memory=slots.free_memory,
                disk=_less(slots.free_disk, None if free_now is None else free_now - self.settings.min_disk),
                gpus=tuple(node.gpus[index] for index in slots.free_gpus),
                seconds_left=self._seconds_left(),
                platform=node.platform,
                tags=node.tags,
                unknown_tags=node.unknown_tags,
                required_tags=node.required_tags,
                communities=node.communities,
                empty=slots.empty,
            )

    def start(self, lease: Lease) -> None:
        key = (lease.job, lease.attempt)
        with self._changed:
            if self._stopping is not None:
                raise PilotageError(f"the pilot starts no new job: {self._stopping[1]}")
            granted = self._slots.allocate(key, lease.spec.needs, lease.cores or None)
            if isinstance(granted, NoRoom):
                raise PilotageError(f"no slot for attempt {lease.attempt} of job {lease.job}: {granted.why}")
            self._slots, slot = granted
            attempt = self._attempts[key] = self._attempt(lease, slot)
        name = f"attempt {lease.job}.{lease.attempt}"
        try:
            threading.Thread(target=attempt.run, name=name, daemon=True).start()
        except RuntimeError as error:  # no more threads for this user
            self._ended(key)
            raise PilotageError(f"no thread for attempt {lease.attempt} of job {lease.job}: {error}") from error

    def running(self) -> int:
        with self._changed:
            return len(self._attempts)

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
        with self._changed:
            while self._attempts and time.monotonic() < end:
                self._changed.wait(1.0)
        self.services.watchdog.stop()

    # -- commands.context.Orders --------------------------------------------------------------------------------------

    def kill(self, job: int, attempt: int, reason: str) -> None:
        with self._changed:
            found = self._attempts.get((job, attempt))
        if found is not None:
            found.end(Verdict(Outcome.KILLED, reason or "killed", grace=found.lease.spec.grace))

    def gone(self, job: int, attempt: int) -> None:
        with self._changed:
            found = self._attempts.get((job, attempt))
        if found is not None:
            found.end(GONE)

    def drain(self, reason: PilotReason, message: str) -> None:
        with self._changed:
            self._stopping = self._stopping or (reason, message)
            self._tell()

    def stop(self, reason: PilotReason, message: str, grace: float) -> None:
        with self._changed:
            if not self._stopped:  # it says more than a drain that went before
                self._stopping, self._stopped = (reason, message), True
            attempts = list(self._attempts.values())
            self._tell()
        for attempt in attempts:
            attempt.end(Verdict(Outcome.PREEMPTED, message, grace=grace))

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

    def _attempt(self, lease: Lease, slot: Slot) -> Attempt:
        key = (lease.job, lease.attempt)
        place = AttemptDirectory(self.work.absolute() / "attempts" / f"{lease.job}.{lease.attempt}")
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
        )

    def _seconds_left(self) -> Amount:
        end = self._end_of_life
        return max(0, int(end - time.monotonic())) if isinstance(end, int) else end

    def _freed(self, key: Key) -> None:
        with self._changed:
            self._slots = self._slots.keep_disk(key)
            self._tell()

    def _ended(self, key: Key) -> None:
        with self._changed:
            self._slots = self._slots.release(key)
            self._attempts.pop(key, None)
            self._tell()

    def _tell(self) -> None:
        self._news = True
        self._changed.notify_all()


def _less(amount: Amount, other: Optional[int]) -> Amount:
    """The smaller of two amounts of which one may be unknown."""
    if other is None or amount is None:
        return amount
    return max(0, other if isinstance(amount, str) else min(amount, other))
