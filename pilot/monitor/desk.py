"""Takes what the agent says to where it belongs: match requests, reports, log streams, facts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Callable, Optional, Union

from pilot import messages
from pilot.ledger import Happened
from pilot.masking import Secrets, owner
from pilot.monitor.books import Books
from pilot.monitor.holdings import Holdings
from pilot.monitor.matching import Matching
from pilot.monitor.obedience import Obedience
from pilot.monitor.renewing import Renewing
from pilot.monitor.shipper import Shipper
from pilot.monitor.spool import Spool
from pilot.protocol import Lease
from pilot.states import Phase
from pilot.steps.output import STEPS


class Desk:
    """One agent's. `take` is for the main thread; what concerns leases may come from any."""

    def __init__(
        self,
        agent: int,
        tell: Callable[[messages.Message], None],
        holdings: Holdings,
        matching: Matching,
        obedience: Obedience,
        spool: Spool,
        shipper: Shipper,
        secrets: Secrets,
        books: Books,
        renewing: Renewing,
        steps_before: int = 0,
    ) -> None:
        self.agent = agent
        self.tell = tell
        self.holdings = holdings
        self.matching = matching
        self.obedience = obedience
        self.spool = spool
        self.shipper = shipper
        self.secrets = secrets
        self.books = books
        self.renewing = renewing
        self.steps_before = steps_before  # numbers that steps of earlier monitors' agents have
        self.finished: Optional[messages.Finished] = None

    def take(self, message: messages.Message) -> None:
        if isinstance(message, messages.AskMatch):
            self.matching.ask(message)
        elif isinstance(message, messages.Got):
            self.obedience.arrived(self.holdings.got(self.agent, message.number))
        elif isinstance(message, messages.Report):
            self._take_report(message)
        elif isinstance(message, messages.Progress):
            self.holdings.progress(message.leases)
        elif isinstance(message, (messages.Release, messages.Step)):
            self._take_other(message)
        elif isinstance(message, (messages.Stream, messages.CloseStream)):
            self._take_stream(message)
        elif isinstance(message, (messages.Facts, Happened)):
            self._take_note(message)
        elif isinstance(message, messages.Lifetime):
            self.obedience.hands.lifetime(message.seconds)
        elif isinstance(message, messages.Finished):
            self.finished = message
            self.matching.stop()

    def leased(self, leases: Iterable[Lease]) -> None:
        """Before the agent has them: what is secret about them is known."""
        for lease in leases:
            self.secrets.add(owner(lease.job, lease.attempt), lease.secrets)
            self.renewing.leased(lease)
            if lease.credentials:
                self.shipper.credentials_in(lease.job, lease.attempt)

    def over(self, job: int, attempt: int) -> None:
        """The lease is no longer ours to speak of."""
        self.holdings.drop(job, attempt)
        self.renewing.over(job, attempt)
        self.shipper.forget(job, attempt)

    def _take_report(self, message: messages.Report) -> None:
        report = message.report
        if report.phase is Phase.ENDED:
            # The payload is gone, so its files are whole, and only here is known what of them is sent.
            sizes = self.shipper.close_attempt(message.job, message.attempt)
            report = replace(report, log_sizes={**report.log_sizes, **sizes})
        self.spool.put(replace(message, report=report))
        self.holdings.advance(message.job, message.attempt, report.phase, report.usage)
        self.tell(messages.Answer(message.id))

    def _take_stream(self, message: Union[messages.Stream, messages.CloseStream]) -> None:
        if isinstance(message, messages.Stream):
            self.shipper.add(message.name, message.path)
        else:
            self.shipper.close(message.name)

    def _take_note(self, message: Union[messages.Facts, Happened]) -> None:
        if isinstance(message, Happened):
            self.books.happened(self.agent, message)
        elif self.agent == 1:  # the others find out the same
            self.holdings.found(message.facts)

    def _take_other(self, message: Union[messages.Release, messages.Step]) -> None:
        if isinstance(message, messages.Step):
            self.books.validating(self.agent)
        self.spool.put(self._named(message) if isinstance(message, messages.Step) else message)
        if isinstance(message, messages.Release):
            for lease in message.leases:
                self.over(lease.job, lease.attempt)
        self.tell(messages.Answer(message.id))

    def _named(self, step: messages.Step) -> messages.Step:
        """The step among those of all agents."""
        number = self.steps_before + STEPS * (self.agent - 1) + step.report.number
        command = step.report.command if self.agent == 1 else f"{self.agent}/{step.report.command}"
        return replace(step, report=replace(step.report, number=number, command=command))
