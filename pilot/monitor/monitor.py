"""The monitor: the pilot's small process that speaks to the central, watches the agent, and outlives it.

Its main thread reads what the agent says, carries out orders and looks after the child; heartbeats, match requests,
deliveries and log pushes have a thread each, and none of them waits for another.
"""

from __future__ import annotations

import os
import random
import selectors
import threading
import time
import traceback
from functools import partial
from pathlib import Path
from typing import Any, Optional

from pilot import messages, processes, procfs
from pilot.config import Config
from pilot.endings import Ending, forsaken
from pilot.errors import ExitCode, Refusal
from pilot.ledger import cause_of
from pilot.masking import Secrets
from pilot.monitor.agent_process import AgentProcess
from pilot.monitor.beat import Beat
from pilot.monitor.books import Books
from pilot.monitor.central_client import CentralClient
from pilot.monitor.control import Control
from pilot.monitor.courier import Courier
from pilot.monitor.crew import Crew, Member, ending_of
from pilot.monitor.desk import Desk
from pilot.monitor.drain_file import DrainFiles
from pilot.monitor.holdings import Heard, Holdings
from pilot.monitor.kept_logs import KeptLogs
from pilot.monitor.leftovers import settle
from pilot.monitor.machine_facts import MachineFacts
from pilot.monitor.matching import Matching
from pilot.monitor.obedience import Obedience
from pilot.monitor.pilot_log import PilotLog
from pilot.monitor.renewing import Renewing
from pilot.monitor.shipper import Shipper
from pilot.monitor.spool import Item, Spool
from pilot.monitor.waking import Waking
from pilot.monitor.winding_up import WindingUp
from pilot.notices import places
from pilot.notices.lookout import Lookout
from pilot.notices.notice import Notice
from pilot.protocol import EnrolReply, Fact, Offer
from pilot.states import SITE_DRAINS, Cause, Phase, PilotReason
from pilot.steps.output import STEPS

#: Seconds between two looks at the agent, when nothing happens.
LOOK = 1.0
#: Seconds that a thread may need to notice that it is to end.
JOIN_PATIENCE = 5.0
#: Open files: two for each attempt whose logs are on their way, and some.
OPEN_FILES = 2048
#: Seconds for the processes of an agent that has died to be gone, while other agents wait to be served.
PARTING = 3.0


class Monitor:
    """One enrolled pilot. What threads call is marked so; everything else happens in the main thread."""

    def __init__(
        self, config: Config, reply: EnrolReply, client: CentralClient, log: PilotLog, waking: Waking, secrets: Secrets,
        kept: Optional[KeptLogs] = None, life: int = 1,
    ) -> None:  # fmt: skip
        self.config = config
        self.reply = reply
        self.client = client
        self.log = log
        self.waking = waking
        self.secrets = secrets
        self.kept = kept
        self.life = life  # which of the pilot's monitors this is
        self.steady = client.standing.steady
        self.started = self.steady()
        settings = self.settings = reply.settings
        about: dict[str, Any] = {"rng": random.random, "say": log.say}
        timed: dict[str, Any] = {**about, "steady": self.steady}
        self.holdings = Holdings(lambda: self.beat.hurry())
        self.spool = Spool(config.spool, log.say)
        began = self.started - (procfs.age(os.getpid()) or 0.0)
        cores = config.cores if isinstance(config.cores, int) else len(os.sched_getaffinity(0))
        self.books = Books(began, cores, self.steady, settings.beat)
        self.beat = Beat(
            client, self.holdings, self.spool.content,
            ledger=self.books.news, interval=settings.beat, heard=self._heard, refused=self._beat_refused, **about,
        )  # fmt: skip
        self.shipper = Shipper(
            client.log, secrets, interval=settings.log_interval, bound=settings.log_bound, kept=kept, **timed
        )
        self.courier = Courier(self.spool, client, settled=self._settled, refused=self._refused, **timed)
        self.crew = Crew()
        self.renewing = Renewing(
            client, secrets, tell=lambda told: waking.post(lambda: self._renewed(told)), refused=self._refused, **timed
        )
        self.control = Control(
            self.crew.tell, self.holdings, self.crew.take_no_more, self.shipper, self.beat, log.say, self.steady,
            settings.margin,
        )  # fmt: skip
        self.obedience = Obedience(reply.epoch, self.holdings, self.control)
        self.crew.members = [self._member(number, timed) for number in range(1, config.agents + 1)]

    def _member(self, number: int, timed: dict[str, Any]) -> Member:
        name = "the agent" if self.config.agents == 1 else f"agent {number}"
        member = Member(number, name, self.started, self.log.say)
        member.matching = Matching(
            self.client, self.holdings, agent=number, answer=partial(self._answer, member),
            leased=lambda leases: member.desk.leased(leases), give_back=self.spool.put, refused=self._refused, **timed,
        )  # fmt: skip
        member.desk = Desk(
            number, member.tell, self.holdings, member.matching, self.obedience, self.spool, self.shipper, self.secrets,
            self.books, self.renewing, STEPS * self.config.agents * (self.life - 1),
        )  # fmt: skip
        return member

    def run(self, archive: Optional[Path]) -> ExitCode:
        """Start the agents, watch until they have ended, and wind up."""
        self.spool.open()
        self._begin_logs()
        ahead = self.client.standing.ahead(time.time())
        self.holdings.found([Fact("clock_offset", ahead, "seconds ahead of the central's clock, by its last answer")])
        beating, working = threading.Event(), threading.Event()
        site = DrainFiles(self.config.policy, self.config.drain_file, self._site_drains)
        threading.Thread(target=site.run, args=(working,), name="site", daemon=True).start()
        self.crew.start(lambda: AgentProcess.start(archive, self.config.work, self.log.file), self.log.say)
        self.books.begin([member.number for member in self.crew.members])
        processes.lift_file_limit(OPEN_FILES)
        for member in self.crew.members:
            member.tell(messages.Hello(self.config, self.settings, self.reply.epoch, member.number, self.life))
        if isinstance(self.settings.end_of_life, int):
            self.control.expect(self.started + self.settings.end_of_life, PilotReason.NO_TIME, "the pilot's time is up")
        beats = threading.Thread(target=self.beat.run, args=(beating,), name="beat", daemon=True)
        reports = threading.Thread(target=self.courier.run, args=(working,), name="reports", daemon=True)
        logs = threading.Thread(target=self.shipper.run, args=(working,), name="logs", daemon=True)
        renewals = threading.Thread(target=self.renewing.run, args=(working,), name="renewals", daemon=True)
        for thread in (beats, reports, logs, renewals, *self._about_the_machine(working)):
            thread.start()
        try:
            ending = self._watch()
        except Exception:  # noqa: BLE001 - whatever it is: jobs must be reported, and nothing left running
            self.log.say(f"a fault of the monitor itself:\n{traceback.format_exc()}")
            ending = Ending(PilotReason.INTERNAL, "a fault of the monitor itself, see the pilot's log")
        for member in self.crew.members:
            member.process.link.shut()

        def stop_beating() -> None:
            beating.set()
            self.beat.hurry()
            beats.join(JOIN_PATIENCE)

        self._forget_secrets()
        code = self._winding_up().run(ending, self._patience(), stop_beating)
        stop_beating()
        working.set()
        self.spool.changed.set()
        self.shipper.wake()
        self.renewing.wake()
        for thread in (reports, logs, renewals):
            thread.join(JOIN_PATIENCE)
        self.spool.close()
        self._clean_up()
        return code

    def _about_the_machine(self, working: threading.Event) -> list[threading.Thread]:
        """Who watches it: for notices of its end everywhere, for what it does where it is a virtual one."""
        loops = {"notices": self._lookout().run}
        if self.config.vm:
            loops["machine"] = MachineFacts(self.holdings, self.config.work, self.log.say).run
        return [threading.Thread(target=run, args=(working,), name=name, daemon=True) for name, run in loops.items()]

    def _begin_logs(self) -> None:
        if self.config.boot_log is not None:
            self.shipper.add("boot", self.config.boot_log)
        self.shipper.add("pilot", self.config.log)
        self.shipper.take_up()

    def _forget_secrets(self, agent: Optional[int] = None) -> None:
        """What agents wipe themselves, unless they were killed: of that agent's attempts, without one of all."""
        from pilot.attempts.credentials import forget  # more than a monitor should carry for all its life

        held = None if agent is None else [(one.job, one.attempt) for one in self.holdings.running(agent)]
        forget(self.config.work / "attempts", held)

    def _clean_up(self) -> None:
        """What agents remove themselves, unless they were killed."""
        from pilot.attempts.containment import remove_groups  # more than a monitor should carry for all its life

        remove_groups(self.config.stamp, self.config.agents)

    def _winding_up(self) -> WindingUp:
        return WindingUp(
            self.holdings, self.crew.take_no_more, self.spool, self.shipper, self.client, self.log, self.waking,
            self.steady, random.random, self.books.final,
        )  # fmt: skip

    def _patience(self) -> float:
        """Seconds for results to be delivered."""
        return min(float(self.config.finish), self.control.left)

    def _lookout(self) -> Lookout:
        cloud = self.config.cloud or places.cloud_of(places.read_dmi(Path("/sys")))
        sources = places.sources(os.environ, cloud, self.config.metadata_url, places.fetch)
        return Lookout(sources, noticed=self._noticed, clock=time.time, say=self.log.say)

    # -- the main loop ----------------------------------------------------------------------------------------------

    def _watch(self) -> Ending:
        """Serve the agents until all have ended, one way or another."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.waking.read_end, selectors.EVENT_READ, self.waking.run_posted)
            for member in self.crew.members:
                selector.register(member.process.link.end, selectors.EVENT_READ, partial(self._listen, member))
            ended: list[Ending] = []
            while True:
                for key, _ in selector.select(LOOK):
                    key.data()
                processes.reap(self.crew.pids())
                for member in self.crew.living():
                    how = member.process.ended()
                    if (member.silent or how) and member.process.link.end in selector.get_map():
                        selector.unregister(member.process.link.end)
                    if how:
                        ended.append(self._part(member, how))
                if not self.crew.living():
                    return ending_of(ended)
                self._look(self.steady())

    def _listen(self, member: Member) -> None:
        member.listen(self.steady())

    def _part(self, member: Member, how: str) -> Ending:
        """An agent has ended. While others go on, what it held is settled and no jobs come for it."""
        ending = member.part(how, self.control.stopping, self.steady)
        self.books.ended(member.number)
        if self.crew.living():
            processes.end_all_children(PARTING, self.crew.pids())
            # What it held goes back only then: a request of its that is still held would be given it again.
            member.matching.retire(
                Offer(self.config.site, self.config.queue), lambda: self.waking.post(partial(self._settle, member))
            )
        return ending

    def _settle(self, member: Member) -> None:
        if member.ending is not None:
            self._forget_secrets(member.number)
            settle(member.ending, self.holdings, self.spool, self.shipper, self.log, member.number)

    def _look(self, now: float) -> None:
        """Whatever time alone brings about."""
        for member in self.crew.living():
            member.look(now)
        self.crew.tell_who_works(self.holdings.busy())
        if self.waking.signalled is not None:
            message = f"signal {self.waking.signalled} came from outside"
            self.control.stop(PilotReason.SIGNAL, message, self.settings.notice or None)
        self.control.look()
        silent = now - self.client.standing.heard
        if forsaken(silent, self.settings.lease, bool(self.holdings.running()), bool(self.spool.results)):
            self.control.drain(f"no central has answered for {silent:.0f} s", PilotReason.LOST_CONTACT)
        for member in self.crew.living():
            member.vigil.stop_by = self.control.agent_by

    # -- called by threads --------------------------------------------------------------------------------------------

    def _answer(self, member: Member, answer: messages.Answer) -> None:
        if answer.match is not None:
            self.books.answered(member.number, answer.match)
        member.answer(answer)

    def _heard(self, heard: Heard) -> None:
        self.shipper.follow(heard.followed)
        self.books.pace = heard.next_beat
        self.secrets.add(None, [self.client.standing.token])
        self.renewing.hear(heard.credentials)
        if heard.gone or heard.orders:
            self.waking.post(lambda: self._obey(heard))

    def _obey(self, heard: Heard) -> None:
        for job, attempt in heard.gone:
            self.log.say(f"job {job} attempt {attempt} is not ours any more")
            self.crew.tell(messages.Gone(job, attempt))
            self.books.settle(job, attempt, Cause.LOST)
            self.crew.over(job, attempt)
        for order in heard.orders:
            self.obedience.take(order)

    def _renewed(self, told: messages.Renewed) -> None:
        """Secrets are for the agent alone that has the attempt."""
        holder = self.holdings.holder(told.job, told.attempt)
        for member in self.crew.living():
            if member.number == holder:
                member.tell(told)

    def _noticed(self, notice: Notice) -> None:
        self.waking.post(lambda: self.control.notice(notice))

    def _site_drains(self, file: Path, reason: str) -> None:
        why = f"{SITE_DRAINS} ({file})" + (f": {reason}" if reason else "")
        self.holdings.found([Fact("drain", why, f"{file} is there")])
        self.waking.post(lambda: self.control.drain(why))

    def _settled(self, item: Item, refusal: Optional[Refusal]) -> None:
        if not isinstance(item, messages.Report):
            return
        if refusal is not None and refusal.type in ("stale-attempt", "not-yours"):
            self.waking.post(lambda: self.crew.tell(messages.Gone(item.job, item.attempt)))
        elif item.report.phase is not Phase.ENDED:
            return
        self.books.settle(item.job, item.attempt, Cause.LOST if refusal else cause_of(item.report.outcome))
        self.crew.over(item.job, item.attempt)

    def _refused(self, refusal: Refusal) -> None:
        if refusal.type == "revoked":
            self._right_is_lost(f"the central took the pilot's right back: {refusal}")

    def _beat_refused(self, refusal: Refusal) -> None:
        self._refused(refusal)
        if refusal.type == "superseded":
            self._right_is_lost(f"another has taken this pilot's place: {refusal}")

    def _right_is_lost(self, why: str) -> None:
        self.waking.post(lambda: self.control.stop(PilotReason.REFUSED, why))
