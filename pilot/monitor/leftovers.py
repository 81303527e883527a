"""What an agent leaves behind: leases that it never had are given back, attempts without an end get one."""

from __future__ import annotations

from typing import Optional

from pilot import messages
from pilot.codes import AttemptCode
from pilot.endings import Ending
from pilot.monitor.holdings import Holdings
from pilot.monitor.pilot_log import PilotLog
from pilot.monitor.shipper import Shipper
from pilot.monitor.spool import Spool
from pilot.protocol import AttemptId, AttemptReport
from pilot.states import Outcome, Phase

#: Lines of the log that a node-fault shows.
LAST_LINES = 20


def settle(
    ending: Ending, holdings: Holdings, spool: Spool, shipper: Shipper, log: PilotLog, agent: Optional[int] = None
) -> None:
    """Settle what that agent held, without one what any did. Its processes must be gone: jobs may start anew now."""
    unseen = tuple(AttemptId(lease.job, lease.attempt) for lease in holdings.unseen(agent))
    if unseen:
        spool.put(messages.Release(0, unseen, ending.message))
    tail = log.last_lines(LAST_LINES)
    for lease in holdings.running(agent):
        report = AttemptReport(
            Phase.ENDED,
            ending.outcome,
            message=f"the pilot ended under it: {ending.message or ending.reason.value}",
            code=AttemptCode.PILOT_ENDED if ending.outcome is Outcome.NODE_FAULT else "",
            usage=lease.usage,
            tail=tail,
            log_sizes=shipper.close_attempt(lease.job, lease.attempt),
        )
        holdings.advance(lease.job, lease.attempt, Phase.ENDED)
        spool.put(messages.Report(0, lease.job, lease.attempt, report))
