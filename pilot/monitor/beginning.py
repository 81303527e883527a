"""How a monitor begins: enrolled with the one-time secret, or in the place of one that was killed, if it may be."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Optional

import pilot
from pilot import processes
from pilot.config import OPEN, Config
from pilot.errors import ExitCode, Refusal
from pilot.masking import Secrets
from pilot.monitor import enrolment, hold
from pilot.monitor.central_client import CentralClient
from pilot.monitor.kept_logs import KeptLogs
from pilot.monitor.monitor import Monitor
from pilot.monitor.pilot_log import PilotLog
from pilot.monitor.session import Session, SessionFile, fitting, instance_of, kept_for
from pilot.monitor.standing import Standing
from pilot.monitor.stillborn import cannot_begin
from pilot.monitor.waking import Waking
from pilot.protocol import EnrolReply, Settings
from pilot.transport import Https


def ending_with(ends: Optional[int], settings: Settings, now: float) -> Settings:
    """The settings of a pilot whose machine ends then, by the central's clock as `now` is. None: nobody knows when."""
    if ends is None:
        return settings
    left, end = max(0, int(ends - now)), settings.end_of_life
    return replace(settings, end_of_life=min(left, end) if isinstance(end, int) else left)


def run(config: Config, archive: Optional[Path]) -> ExitCode:
    """Be the monitor of one pilot, to its goodbye.

    Raises `InvalidInput` without a secret, and where another process has the folder; `Refusal` and `TransportError`
    when it could not be enrolled, or not resume.
    """
    processes.become_subreaper()
    processes.protect_from_oom()
    processes.forbid_dumps()
    waking = Waking()
    waking.catch()
    with hold.held(config.work):
        return _Beginning(config, waking, PilotLog(config.log), SessionFile(config.session), Secrets()).run(archive)


@dataclass(frozen=True)
class _Beginning:
    config: Config
    waking: Waking
    log: PilotLog
    file: SessionFile
    secrets: Secrets

    def run(self, archive: Optional[Path]) -> ExitCode:
        self._guard()
        session = self._session()
        client = CentralClient(self.config.central, Https(self.config.ca), self._standing(session), os.urandom)
        kept = KeptLogs(self.config.work / "logs", self.log.say) if self._keeps else None
        try:
            if session.epoch and kept is not None:
                reply = self._resume(session, client, kept)
            else:
                reply = self._enrol(session, client)
        except enrolment.Interrupted:
            self.log.say(f"signal {self.waking.signalled} came before the pilot was enrolled")
            return ExitCode.PREEMPTED
        self.secrets.add(None, [session.key, reply.token])
        reply = replace(reply, settings=ending_with(self.config.ends, reply.settings, client.standing.now()))
        session = session.enrolled(reply, client.standing.ahead(time.time()))
        self._keep(session)
        enrolment.leave_traces(self.config)
        self.log.say(f"enrolled as {self.config.stamp}, epoch {reply.epoch}, pilot {pilot.__version__}")
        try:
            monitor = Monitor(
                self.config, reply, client, self.log, self.waking, self.secrets, kept=kept, life=session.life
            )
            code = monitor.run(archive)
        except (RuntimeError, BlockingIOError) as problem:  # a thread, or an agent's process, was not to be had
            code = cannot_begin(client, self.log, problem)
        if code is not ExitCode.UNDELIVERED:  # what is left may still be delivered by whoever comes after us
            self._remove(kept)
        return code

    def _guard(self) -> None:
        """Begin to find out what payloads reach of their cloud, beside what comes next."""
        if self.config.metadata == OPEN:
            return
        from pilot.imds import ahead  # only on virtual machines

        try:
            ahead.begin(self.config.work, partial(ahead.cut_and_tried, self.config.slot_users))
        except OSError as error:
            self.log.say(f"agents try for themselves what payloads reach: {error}")

    @property
    def _keeps(self) -> bool:
        return kept_for(self.config, os.geteuid())

    def _session(self) -> Session:
        """That of an earlier monitor, else a new one."""
        instance = instance_of(Path("/"), os.geteuid())
        found = self.file.read() if self._keeps else None
        if found is not None:
            return fitting(found, self.config.stamp, instance, self.file.path)
        return Session.new(self.config.stamp, os.urandom(enrolment.KEY_SIZE), instance)

    def _standing(self, session: Session) -> Standing:
        standing = Standing(self.config.stamp, session.session_key, time.monotonic)
        if session.epoch:
            standing.taken_up(session.epoch, session.token, time.time() - session.ahead)
        return standing

    def _enrol(self, session: Session, client: CentralClient) -> EnrolReply:
        secret = enrolment.read_secret(self.config.secret_file)
        self.secrets.add(None, [secret, enrolment.ticket(self.config)])
        self._keep(session)  # first: with another key the same secret would be an alarm
        what = enrolment.request(secret, session.session_key, pilot.__version__)
        return enrolment.enrol(
            client, what, patience=self.config.patience, wait=self.waking.signalled_within, rng=random.random,
            say=self.log.say,
        )  # fmt: skip

    def _resume(self, session: Session, client: CentralClient, kept: KeptLogs) -> EnrolReply:
        from pilot.monitor.taking_up import TakingUp  # more than a monitor should carry for all its life

        self.log.say(f"an earlier monitor of {self.config.stamp} has left epoch {session.epoch}: this one takes over")
        self.secrets.add(None, [session.key, session.token])
        taking = TakingUp(self.config, client, self.log, kept, self.secrets, self.waking.signalled_within)
        taking.settle(session.log_bound)
        try:
            taking.deliver()
            return taking.resume(session.instance)
        except Refusal as refusal:
            self.log.say(f"this pilot cannot go on ({refusal.type}): {refusal}")
            self._remove(kept)
            raise

    def _keep(self, session: Session) -> None:
        if not self._keeps:
            return
        try:
            self.file.write(session)
        except OSError as error:
            self.log.say(f"a monitor that is killed cannot be followed by another: {error}")

    def _remove(self, kept: Optional[KeptLogs]) -> None:
        self.file.remove()
        if kept is not None:
            kept.remove()
