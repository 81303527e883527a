"""One thread watches all attempts: measures what each uses, enforces its limits, and keeps its appointments.

Wall time, CPU time, memory, disk, processes and progress are enforced, and named when they are exceeded.
"""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from pilot.attempts.diskmeter import DiskMeter
from pilot.attempts.progress import Progress
from pilot.payloads.payload import Ended, Payload, Sample
from pilot.protocol import StopSignal, Usage
from pilot.units import show_duration, show_size

#: Seconds between two looks at an attempt; sooner while it is young, and when it is about to reach a limit.
INTERVAL, SOON = 1.0, 0.1
YOUNG = 2.0
#: No limit of the payload's: the machine itself had no more.
MACHINE = "machine"
NOTHING = Sample(0, 0.0, 0)


@dataclass(frozen=True)
class Limits:
    """None: not limited."""

    wall_time: Optional[float] = None  # seconds
    memory: Optional[int] = None  # bytes
    disk: Optional[int] = None  # bytes
    cpu_time: Optional[float] = None  # seconds, of all its processes together
    processes: Optional[int] = None
    no_progress: Optional[float] = None  # seconds without any growth of CPU time and without any file touched
    promised: bool = True  # the memory was asked for and set aside; else it is whatever the machine has


@dataclass(frozen=True)
class Exceeded:
    """A limit was reached: which, and the sentence for the owner."""

    limit: str
    message: str


def exceeded(usage: Usage, limits: Limits, sample: Sample = NOTHING) -> Optional[Exceeded]:
    """The limit that this usage is beyond, or that the kernel has already enforced."""
    if sample.oom_kills or sample.starved:
        return out_of_memory(sample.oom_kills, limits)
    if limits.memory is not None and (usage.memory or 0) > limits.memory:
        found, allowed = show_size(usage.memory or 0), show_size(limits.memory)
        return Exceeded("memory", f"it used {found} of memory, its limit is {allowed}")
    if limits.disk is not None and (usage.disk or 0) > limits.disk:
        found, allowed = show_size(usage.disk or 0), show_size(limits.disk)
        return Exceeded("disk", f"it wrote {found} (what it printed included), its limit is {allowed}")
    if limits.wall_time is not None and usage.wall >= limits.wall_time:
        return Exceeded("wall_time", f"it ran for {show_duration(usage.wall)}, its limit of wall time")
    if limits.cpu_time is not None and (usage.cpu or 0.0) > limits.cpu_time:
        found, allowed = show_duration(usage.cpu or 0.0), show_duration(limits.cpu_time)
        return Exceeded("cpu_time", f"it used {found} of CPU time, its limit is {allowed}")
    if limits.processes is not None and sample.processes > limits.processes:
        return Exceeded("processes", f"it had {sample.processes} processes, its limit is {limits.processes}")
    return None


def out_of_memory(at_its_limit: int, limits: Limits) -> Exceeded:
    """The kernel has ended processes of it for want of memory; `at_its_limit`: how many because of its own limit."""
    if not at_its_limit and not limits.promised:
        return Exceeded("memory", "out of memory: it asked for none of its own, and the machine had no more for it")
    if not at_its_limit:
        return Exceeded(MACHINE, "out of memory: the kernel ended it while it was within its own limit")
    allowed = "" if limits.memory is None else f" {show_size(limits.memory)}"
    return Exceeded("memory", f"out of memory: the kernel ended processes of it at its limit{allowed}")


def next_look(before: Usage, after: Usage, limits: Limits) -> float:
    """Seconds until the next look: what grows as fast as it just did must not get far beyond its limit."""
    if after.wall < YOUNG:
        return SOON * 2.5
    elapsed = max(0.001, after.wall - before.wall)
    amounts = ((before.memory, after.memory, limits.memory), (before.disk, after.disk, limits.disk))
    return SOON if any(_nearing(was, now, limit, elapsed) for was, now, limit in amounts) else INTERVAL


def _nearing(was: Optional[int], now: Optional[int], limit: Optional[int], elapsed: float) -> bool:
    """Whether the limit would be passed within two looks, should it go on as in the `elapsed` seconds."""
    if was is None or now is None or limit is None or now <= was:
        return False
    return now + (now - was) / elapsed * 2 * INTERVAL > limit


class Watch:
    """One payload under watch. `usage` is what the last look found."""

    def __init__(
        self,
        payload: Payload,
        limits: Limits,
        place: Path,
        started: float,
        beyond: Callable[[Exceeded], None],
        looked: Callable[[], None],
        stop_signal: Optional[StopSignal] = None,
    ) -> None:
        self.payload = payload
        self.limits = limits
        self.meter = DiskMeter(place)
        self.started = started
        self.beyond = beyond  # called once, when a limit is exceeded
        self.looked = looked  # called after each look
        self.usage = Usage()
        self.due = started + SOON * 2.5
        self.told = False
        self.progress = Progress(limits.no_progress, started)
        self.stop_signal = stop_signal  # until it has been sent
        self.note = ""  # what its owner should know of it

    def look(self, now: float) -> None:
        """Measure, and say so when it is too much."""
        before = self.usage
        sample = self.payload.sample()
        self.meter.advance(now)
        self.usage = Usage(
            wall=round(now - self.started, 3),
            cpu=round(max(before.cpu or 0.0, sample.cpu), 3),
            memory=sample.memory,
            memory_peak=max(before.memory_peak or 0, sample.memory),
            disk=self.meter.at_least,
        )
        self.due = now + next_look(before, self.usage, self.limits)
        self._keep_time(now)
        self.progress.look(now, self.usage.cpu or 0.0, self.meter.touched)
        problem = None if self.told else exceeded(self.usage, self.limits, sample) or self._stuck(now)
        if problem is not None:
            self.told = True
            self.beyond(problem)
        self.looked()

    def close(self, ended: Ended, wall: float) -> Usage:
        """What the payload has used in all; nothing of it is left."""
        seen = self.usage
        peaks = [amount for amount in (seen.memory_peak, ended.largest) if amount]
        self.usage = Usage(
            wall=round(wall, 3),
            cpu=round(max(seen.cpu or 0.0, ended.cpu), 3),
            memory_peak=max(peaks, default=None),
            disk=self.meter.final(),
        )
        return self.usage

    def _keep_time(self, now: float) -> None:
        """Send the job's signal when it is due, and be there for it and for the end of wall time."""
        if self.limits.wall_time is None:
            return
        end = self.started + self.limits.wall_time
        if self.stop_signal is not None and now >= end - self.stop_signal.before:
            self._tell(self.stop_signal)
            self.stop_signal = None
        next_time = end if self.stop_signal is None else end - self.stop_signal.before
        self.due = min(self.due, max(now + 0.001, next_time))

    def _tell(self, stop: StopSignal) -> None:
        if not self.payload.tell(signal.Signals[stop.signal], stop.program):
            whom = f"the program {stop.program!r}" if stop.program else "its command"
            self.note = f"its {stop.signal} reached nobody, as no process ran {whom} when it was due"

    def _stuck(self, now: float) -> Optional[Exceeded]:
        idle = self.progress.stuck(now)
        if idle is None:
            return None
        return Exceeded("no_progress", f"for {show_duration(idle)} it used no CPU time and changed no file")


class Watchdog:
    """The thread. `turned` is called after each round of looks, for whoever passes on what was found."""

    def __init__(self, tend: Callable[[], None], turned: Callable[[], None], say: Callable[[str], None]) -> None:
        self.tend = tend
        self.turned = turned
        self.say = say
        self._changed = threading.Condition()
        self._watches: list[Watch] = []
        self._appointments: list[tuple[float, Callable[[], None]]] = []
        self._stop = False

    def watch(self, watch: Watch) -> None:
        with self._changed:
            self._watches.append(watch)
            self._changed.notify()

    def unwatch(self, watch: Watch) -> None:
        with self._changed:
            if watch in self._watches:
                self._watches.remove(watch)

    def at(self, when: float, act: Callable[[], None]) -> None:
        """Call `act` at a time of the monotonic clock."""
        with self._changed:
            self._appointments.append((when, act))
            self._changed.notify()

    def start(self) -> None:
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        with self._changed:
            self._stop = True
            self._changed.notify()

    def _run(self) -> None:
        tended = time.monotonic()
        while True:
            now = time.monotonic()
            with self._changed:
                if self._stop:
                    return
                due = [watch for watch in self._watches if watch.due <= now]
                acts = [act for when, act in self._appointments if when <= now]
                self._appointments = [(when, act) for when, act in self._appointments if when > now]
            for act in acts:
                self._carry_out(act)
            for watch in due:
                watch.due = now + INTERVAL  # should the look fail
                self._carry_out(lambda watch=watch: watch.look(time.monotonic()))  # type: ignore[misc]
            if due:
                self._carry_out(self.turned)
            if now - tended >= INTERVAL:
                tended = now
                self._carry_out(self.tend)
            self._sleep()

    def _sleep(self) -> None:
        """Until the next thing is due, or something new comes."""
        with self._changed:
            times = [watch.due for watch in self._watches] + [when for when, _ in self._appointments]
            wait = min(times, default=time.monotonic() + INTERVAL) - time.monotonic()
            if wait > 0 and not self._stop:
                self._changed.wait(min(wait, INTERVAL))

    def _carry_out(self, act: Callable[[], None]) -> None:
        """What goes wrong with one attempt must not leave the others unwatched."""
        try:
            act()
        except Exception as error:  # noqa: BLE001 - one attempt's fault leaves the others watched
            self.say(f"the watchdog met {type(error).__name__}: {error}")
