"""The end of a pilot that enrolled and cannot begin: this user may start no thread or process more on this machine."""

from __future__ import annotations

from pilot import processes
from pilot.errors import ExitCode, Refusal, TransportError
from pilot.monitor.central_client import CentralClient
from pilot.monitor.pilot_log import PilotLog
from pilot.protocol import GoodbyeRequest
from pilot.states import PilotReason

#: Seconds for what was started already to be gone.
PATIENCE = 5.0


def cannot_begin(client: CentralClient, log: PilotLog, problem: Exception) -> ExitCode:
    """Say so to the central, once, so that nobody waits for this pilot."""
    why = f"this user may have no more processes or threads on this machine: {problem}"
    log.say(why)
    processes.end_all_children(PATIENCE)
    try:
        client.bye(GoodbyeRequest(PilotReason.UNFIT, int(ExitCode.UNFIT), why))
    except (TransportError, Refusal) as unheard:
        log.say(f"no central heard it: {unheard}")
    return ExitCode.UNFIT
