"""The monitor: the pilot's small process that speaks to the central, watches the agent, and outlives it.

Its main thread reads what the agent says, carries out orders and looks after the child; heartbeats, match requests,
deliveries and log pushes have a thread each, and none of them waits for another.
"""

from __future__ import annotations

import os
import random
import select
import selectors
import threading
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pilot
from pilot import enrolment, messages, processes
from pilot.agent_process import AgentProcess
from pilot.beat import Beat
from pilot.central_client import CentralClient
from pilot.config import Config
from pilot.control import GRACE, Control
from pilot.courier import Courier
from pilot.desk import Desk
from pilot.endings import Ending, forsaken
from pilot.errors import ExitCode, InvalidInput, Refusal, TransportError
from pilot.holdings import Heard, Holdings
from pilot.masking import Secrets
from pilot.matching import Matching
from pilot.obedience import Obedience
from pilot.pilot_log import PilotLog
from pilot.protocol import EnrolReply
from pilot.shipper import Shipper
from pilot.spool import Item, Spool
from pilot.standing import Standing
from pilot.states import Phase, PilotReason
from pilot.transport import Https
from pilot.vigil import Vigil
from pilot.waking import Waking
from pilot.winding_up import WindingUp

#: Seconds between two looks at the agent, when nothing happens.
LOOK = 1.0
#: Seconds that the agent gets to end, beyond those that payloads get.
STOP_PATIENCE = 30.0
#: Seconds that a thread may need to notice that it is to end.
JOIN_PATIENCE = 5.0
#: Open files: two for each attempt whose logs are on their way, and some.
OPEN_FILES = 2048
#: The one agent of a pilot.
AGENT = 1


def run(config: Config, archive: Optional[Path]) -> ExitCode:
    """Be the monitor of one pilot, from its secret to its goodbye.

    Raises `InvalidInput` without a secret, `Refusal` and `TransportError` when it could not be enrolled.
    """
    processes.become_subreaper()
    processes.protect_from_oom()
    processes.forbid_dumps()
    waking = Waking()
    waking.catch()
    log = PilotLog(config.log)
    secret = enrolment.read_secret(config.secret_file)
    standing = Standing(config.stamp, os.urandom(enrolment.KEY_SIZE), time.monotonic)
    client = CentralClient(config.central, Https(config.ca), standing, os.urandom)
    what = enrolment.request(secret, standing.key, pilot.__version__)
    try:
        reply = enrolment.enrol(
            client, what, patience=config.patience, wait=waking.signalled_within, rng=random.random, say=log.say
        )
    except enrolment.Interrupted:
        log.say(f"signal {waking.signalled} came before the pilot was enrolled")
        return ExitCode.PREEMPTED
    enrolment.leave_traces(config)
    log.say(f"enrolled as {config.stamp}, epoch {reply.epoch}, pilot {pilot.__version__}")
    secrets = Secrets()
    secrets.add(None, [secret, what.session_key, reply.token, enrolment.ticket(config)])
    return Monitor(config, reply, client, log, waking, secrets).run(archive)


class Monitor:
    """One enrolled pilot. What threads call is marked so; everything else happens in the main thread."""

    def __init__(
        self, config: Config, reply: EnrolReply, client: CentralClient, log: PilotLog, waking: Waking, secrets: Secrets
    ) -> None:
        self.config = config
        self.reply = reply
        self.client = client
        self.log = log
        self.waking = waking
        self.secrets = secrets
        self.steady = client.standing.steady
        self.started = self.steady()
        self.agent: AgentProcess  # once it is started
        self.vigil = Vigil(self.started)
        self.killed_why = ""
        settings = self.settings = reply.settings
        about: dict[str, Any] = {"rng": random.random, "say": log.say}
        timed: dict[str, Any] = {**about, "steady": self.steady}
        self.holdings = Holdings(lambda: self.beat.hurry())
        self.spool = Spool(config.spool, log.say)
        self.beat = Beat(
            client, self.holdings, self.spool.content,
            interval=settings.beat, heard=self._heard, refused=self._beat_refused, **about,
        )  # fmt: skip
        self.shipper = Shipper(client.log, secrets, interval=settings.log_interval, bound=settings.log_bound, **timed)
        self.courier = Courier(self.spool, client, settled=self._settled, refused=self._refused, **timed)
        self.matching = Matching(
            client, self.holdings, agent=AGENT, answer=lambda answer: self.agent.link.send(answer),
            leased=lambda leases: self.desk.leased(leases), give_back=self.spool.put, refused=self._refused, **timed,
        )  # fmt: skip
        self.control = Control(self._tell, self.holdings, self.matching, self.shipper, self.beat, log.say)
        self.obedience = Obedience(reply.epoch, self.holdings, self.control)
        self.desk = Desk(
            AGENT, self._tell, self.holdings, self.matching, self.obedience, self.spool, self.shipper, secrets
        )

    def run(self, archive: Optional[Path]) -> ExitCode:
        """Start the agent, watch until it has ended, and wind up."""
        self.spool.open()
        if self.config.boot_log is not None:
            self.shipper.add("boot", self.config.boot_log)
        self.shipper.add("pilot", self.config.log)
        self.agent = AgentProcess.start(archive, self.config.work, self.log.file)
        processes.lift_file_limit(OPEN_FILES)
        self._tell(messages.Hello(self.config, self.settings, self.reply.epoch))
        beating, working = threading.Event(), threading.Event()
        beats = threading.Thread(target=self.beat.run, args=(beating,), name="beat", daemon=True)
        reports = threading.Thread(target=self.courier.run, args=(working,), name="reports", daemon=True)
        logs = threading.Thread(target=self.shipper.run, args=(working,), name="logs", daemon=True)
        for thread in (beats, reports, logs):
            thread.start()
        try:
            ending = self._watch()
        except Exception:  # noqa: BLE001 - whatever it is: jobs must be reported, and nothing left running
            self.log.say(f"a fault of the monitor itself:\n{traceback.format_exc()}")
            ending = Ending(PilotReason.INTERNAL, "a fault of the monitor itself, see the pilot's log")
        self.agent.link.shut()

        def stop_beating() -> None:
            beating.set()
            self.beat.hurry()
            beats.join(JOIN_PATIENCE)

        code = self._winding_up().run(ending, self._patience(), stop_beating)
        stop_beating()
        working.set()
        self.spool.changed.set()
        self.shipper.wake()
        for thread in (reports, logs):
            thread.join(JOIN_PATIENCE)
        self.spool.close()
        return code

    def _winding_up(self) -> WindingUp:
        return WindingUp(
            self.holdings, self.matching, self.spool, self.shipper, self.client, self.log, self.waking,
            self.steady, random.random,
        )  # fmt: skip

    def _patience(self) -> float:
        """Seconds for results to be delivered."""
        if isinstance(self.settings.end_of_life, int):
            left = self.settings.end_of_life - (self.steady() - self.started)
            return min(float(self.config.finish), max(GRACE, left))
        return float(self.config.finish)

    # -- the main loop ----------------------------------------------------------------------------------------------

    def _watch(self) -> Ending:
        """Serve the agent until it has ended, one way or another."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.waking.read_end, selectors.EVENT_READ, self.waking.run_posted)
            selector.register(self.agent.link.end, selectors.EVENT_READ, self._listen)
            while True:
                for key, _ in selector.select(LOOK):
                    key.data()
                if self.vigil.silent_since is not None and self.agent.link.end in selector.get_map():
                    selector.unregister(self.agent.link.end)
                processes.reap(spared=self.agent.pid)
                how = self.agent.ended()
                if how is not None:
                    self._hear_out()
                    return self._conclude(how)
                self._look(self.steady())

    def _listen(self) -> None:
        try:
            arrived = self.agent.link.receive()
        except InvalidInput as error:
            self._kill_agent(f"what it said is no message: {error}")
            arrived = None
        if arrived is None:
            self.vigil.silent_since = self.vigil.silent_since or self.steady()
            return
        self.vigil.heard = self.steady()
        for message in arrived:
            self.desk.take(message)

    def _hear_out(self) -> None:
        """The agent has ended: what it said before may still be on its way."""
        while self.vigil.silent_since is None and select.select([self.agent.link.end], [], [], LOOK)[0]:
            self._listen()

    def _look(self, now: float) -> None:
        """Whatever time alone brings about."""
        why = self.vigil.look(now)
        if why and not self.killed_why:
            self._kill_agent(why)
        if self.waking.signalled is not None:
            self.control.stop(PilotReason.SIGNAL, f"signal {self.waking.signalled} came from outside")
        end_of_life = self.settings.end_of_life
        if isinstance(end_of_life, int) and now - self.started >= end_of_life:
            self.control.stop(PilotReason.NO_TIME, "the pilot's time is up")
        silent = now - self.client.standing.heard
        if forsaken(silent, self.settings.lease, bool(self.holdings.running()), bool(self.spool.results)):
            self.control.drain(f"no central has answered for {silent:.0f} s", PilotReason.LOST_CONTACT)
        if self.control.stopping is not None:
            self.vigil.stop_by = min(self.vigil.stop_by, now + GRACE + STOP_PATIENCE)

    def _kill_agent(self, why: str) -> None:
        self.killed_why = why
        self.log.say(f"the agent is killed: {why}")
        self.agent.kill()

    def _conclude(self, how: str) -> Ending:
        if self.desk.finished is not None:
            last = self.desk.finished
            return Ending(last.reason, last.message, last.ledger)
        what = f"the agent process ended with {how}" + (f" since {self.killed_why}" if self.killed_why else "")
        self.log.say(what)
        if self.control.stopping is not None:
            return replace(self.control.stopping, message=f"{self.control.stopping.message}; {what}")
        return Ending(PilotReason.AGENT_DIED, what)

    def _tell(self, message: messages.Message) -> None:
        try:
            self.agent.link.send(message)
        except TransportError:
            pass  # its end is seen elsewhere

    # -- called by threads --------------------------------------------------------------------------------------------

    def _heard(self, heard: Heard) -> None:
        self.shipper.follow(heard.followed)
        self.secrets.add(None, [self.client.standing.token])
        if heard.gone or heard.orders:
            self.waking.post(lambda: self._obey(heard))

    def _obey(self, heard: Heard) -> None:
        for job, attempt in heard.gone:
            self.log.say(f"job {job} attempt {attempt} is not ours any more")
            self._tell(messages.Gone(job, attempt))
            self.desk.over(job, attempt)
        for order in heard.orders:
            self.obedience.take(order)

    def _settled(self, item: Item, refusal: Optional[Refusal]) -> None:
        if not isinstance(item, messages.Report):
            return
        if refusal is not None and refusal.type in ("stale-attempt", "not-yours"):
            self.waking.post(lambda: self._tell(messages.Gone(item.job, item.attempt)))
        elif item.report.phase is not Phase.ENDED:
            return
        self.desk.over(item.job, item.attempt)

    def _refused(self, refusal: Refusal) -> None:
        if refusal.type == "revoked":
            self._right_is_lost(f"the central took the pilot's right back: {refusal}")

    def _beat_refused(self, refusal: Refusal) -> None:
        self._refused(refusal)
        if refusal.type == "superseded":
            self._right_is_lost(f"another has taken this pilot's place: {refusal}")

    def _right_is_lost(self, why: str) -> None:
        self.waking.post(lambda: self.control.stop(PilotReason.REFUSED, why))
