"""What a person imports: `Client`, its records and its errors. What a person types is `pilotage.__main__`."""

from pilot.errors import InvalidInput, InvalidJob, PilotageError, Refusal, TransportError
from pilot.states import JobState, Outcome, PilotState
from pilot.views import Selection
from pilotage.client import Client
from pilotage.connection import Connection, NotConfigured
from pilotage.files import Fetched
from pilotage.jobs import Submission
from pilotage.waiting import Counts, StillRunning

__all__ = [
    "Client",
    "Connection",
    "Counts",
    "Fetched",
    "InvalidInput",
    "InvalidJob",
    "JobState",
    "NotConfigured",
    "Outcome",
    "PilotState",
    "PilotageError",
    "Refusal",
    "Selection",
    "StillRunning",
    "Submission",
    "TransportError",
]
