"""Takes the place of a monitor that was killed: ends what runs still, and has the central hear how all of it went.

All that was to be reported is delivered under the epoch in which it happened. After the resume, which raises the epoch,
the central has ended whatever nobody has reported, and hears no reports on it any more.
"""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Optional

from pilot import messages
from pilot.attempts.credentials import forget, secrets_in
from pilot.attempts.directory import remove, size_of
from pilot.backoff import Backoff
from pilot.codes import AttemptCode
from pilot.config import Config
from pilot.errors import Refusal, TransportError
from pilot.masking import Secrets, owner
from pilot.monitor import remains
from pilot.monitor.central_client import CentralClient
from pilot.monitor.courier import Courier
from pilot.monitor.enrolment import Interrupted
from pilot.monitor.homecoming import Homecoming
from pilot.monitor.kept_logs import KeptLogs, attempts_of
from pilot.monitor.leftovers import LAST_LINES
from pilot.monitor.pilot_log import PilotLog
from pilot.monitor.spool import Item, Spool
from pilot.monitor.stream import total
from pilot.protocol import AttemptId, AttemptReport, EnrolReply, ResumeRequest, attempt_stream
from pilot.states import Outcome, Phase

#: What the owner of a job reads whose attempt ran when the monitor was killed.
WHY = "the pilot ended under it: its monitor process died and was started again"


@dataclass(frozen=True)
class TakingUp:
    """What it needs. `wait` waits so many seconds and says whether to stop."""

    config: Config
    client: CentralClient
    log: PilotLog
    kept: KeptLogs
    secrets: Secrets
    wait: Callable[[float], bool]

    def settle(self, log_bound: int) -> None:
        """Leave nothing running, and put into the spool how each attempt ended. `log_bound`: bytes of a stream."""
        left = remains.end_remains(self.config.work, lambda: _in_groups(self.config))
        if left:
            self.log.say(f"{left} processes of the earlier monitor's pilot cannot be ended")
        self._find_logs()
        streams = attempts_of(list(self.kept.found()))
        for attempt in streams:
            self._learn_secrets(attempt, streams[attempt])
        spool = self._spool()
        ended = spool.ended()
        waiting = Homecoming(self.config, self.client, self.log, lambda: self.wait(0.0)).run(ended)
        for attempt in sorted({*streams, *waiting}, key=lambda one: (one.job, one.attempt)):
            if (attempt.job, attempt.attempt) not in ended:
                report = waiting.get(attempt) or self._fault()
                report = replace(report, log_sizes=self._sizes(streams.get(attempt, ()), log_bound))
                spool.put(messages.Report(0, attempt.job, attempt.attempt, report))
        self._clear()

    def deliver(self) -> None:
        """Have the central hear what is in the spool. Raises `TransportError` when none answers, `Interrupted`."""
        spool = self._spool()
        there = spool.content().reports
        if not there:
            return
        self.log.say(f"{there} reports of before are delivered first")
        steady = self.client.standing.steady
        refusals: list[Refusal] = []

        def settled(item: Item, refusal: Optional[Refusal]) -> None:
            """The courier has said in the log what was refused."""

        courier = Courier(
            spool, self.client, settled=settled, refused=refusals.append, steady=steady, rng=random.random,
            say=self.log.say,
        )  # fmt: skip
        deadline = steady() + self.config.patience
        while spool.content().reports and not any(refusal.type == "revoked" for refusal in refusals):
            if self.wait(min(courier.turn(), 1.0)):
                raise Interrupted
            if steady() > deadline:
                if steady() - self.client.standing.heard > self.config.patience / 2:
                    raise TransportError(f"no central took {spool.content().reports} reports; they stay in the spool")
                return  # it answers, and will not have them now: the monitor goes on trying

    def resume(self, instance: str) -> EnrolReply:
        """Have the next epoch. Raises the `Refusal` of a central that has done with this pilot, `TransportError`,
        `Interrupted`."""
        steady = self.client.standing.steady
        deadline = steady() + self.config.patience
        backoff = Backoff(random.random, first=0.25)
        what = ResumeRequest(self.client.standing.epoch, instance)
        while True:
            try:
                return self.client.resume(what)
            except TransportError as error:
                problem, pause = str(error), backoff.failed()
            except Refusal as refusal:
                if not refusal.transient:
                    raise
                problem, pause = str(refusal), backoff.failed(refusal.retry_after)
            if steady() + pause > deadline:
                raise TransportError(f"no central let this pilot resume within {self.config.patience} s: {problem}")
            if self.wait(pause):
                raise Interrupted

    # -- what is on the disk ------------------------------------------------------------------------------------------

    def _spool(self) -> Spool:
        spool = Spool(self.config.spool, self.log.say)
        spool.open()
        return spool

    def _find_logs(self) -> None:
        """Keep also what payloads printed last, of which the earlier monitor may not have heard."""
        for root in self.config.work.glob("attempts/*.*"):
            job, _, attempt = root.name.partition(".")
            for kind in ("stdout", "stderr"):
                if job.isdigit() and attempt.isdigit() and size_of(root / kind):
                    self.kept.keep(attempt_stream(int(job), int(attempt), kind), root / kind)

    def _fault(self) -> AttemptReport:
        tail = self.log.last_lines(LAST_LINES)
        return AttemptReport(Phase.ENDED, Outcome.NODE_FAULT, message=WHY, code=AttemptCode.PILOT_ENDED, tail=tail)

    def _sizes(self, names: Sequence[str], log_bound: int) -> dict[str, int]:
        """How long each of these streams will be, without empty ones."""
        found = self.kept.found()
        sizes = {name: total(size_of(found[name]), log_bound) for name in names if name in found}
        return {name: size for name, size in sizes.items() if size}

    def _learn_secrets(self, attempt: AttemptId, names: Sequence[str]) -> None:
        """What must not be seen in its logs. Where that is not known any more, the rest of them is not pushed."""
        whose = owner(attempt.job, attempt.attempt)
        root = self.config.work / "attempts" / f"{attempt.job}.{attempt.attempt}"
        self.secrets.add(whose, secrets_in(root))
        if self.kept.has_secret(whose) and not (root / "credentials").is_dir():
            self.log.say(
                f"what job {attempt.job} attempt {attempt.attempt} printed last is not pushed: "
                "it may show credentials that nobody here knows any more"
            )
            for name in names:
                self.kept.gone(name)

    def _clear(self) -> None:
        from pilot.attempts.containment import remove_groups  # more than a monitor should carry for all its life

        attempts = self.config.work / "attempts"
        forget(attempts)
        if self.config.slot_users:
            _clear_users({place.stat().st_uid for place in attempts.glob("*/job")}, attempts)
        if not self.config.keep_work and attempts.is_dir():
            for root in attempts.iterdir():
                remove(root)
        remove_groups(self.config.stamp, self.config.agents)


def _clear_users(uids: Collection[int], attempts: Path) -> None:
    """What payloads left where everybody may, unless another pilot has their users by now."""
    from pilot.payloads.marks import Marks
    from pilot.payloads.slot_users import LEAST, UserLocks, lock_file, processes_of
    from pilot.payloads.user_traces import remove_all_of

    locks = UserLocks(lock_file())
    for uid in uids:
        if uid >= LEAST and locks.lock(uid):
            if not processes_of(uid):
                remove_all_of(uid)
                Marks(locks.path).remove_below(uid, attempts)  # also where folders are kept: no secret is in them now
            locks.unlock(uid)


def _in_groups(config: Config) -> Sequence[int]:
    from pilot.attempts.containment import group_name
    from pilot.enclosures.finding import pids_left
    from pilot.enclosures.tree import KernelTree

    tree = KernelTree(time.time())
    return [pid for number in range(1, config.agents + 1) for pid in pids_left(tree, group_name(config.stamp, number))]
