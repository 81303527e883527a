"""A client whose time is a number, for tests that answer in place of the central."""

from dataclasses import dataclass, field

import msgspec

from pilot.errors import REFUSALS
from pilot.protocol import Problem
from pilot.states import JobState
from pilot.views import JobView
from pilotage import Client
from pilotage.transport import Clock

URL = "https://central.example:9618"
TOKEN = "a-token"


@dataclass
class Time:
    """A clock that moves when somebody sleeps."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> Clock:
        return Clock(now=lambda: self.now, sleep=self.sleep, chance=lambda: 0.5)


def client(time: Time, patience: float = 30.0) -> Client:
    return Client(URL, TOKEN, patience=patience, clock=time.clock())


def problem(type: str, **fields: object) -> dict[str, object]:
    """What `responses` answers for a refusal."""
    body = Problem(type=type, title=REFUSALS[type].title, status=REFUSALS[type].status, **fields)
    return {
        "body": msgspec.json.encode(body),
        "status": REFUSALS[type].status,
        "content_type": "application/problem+json",
    }


def job(id: int = 7, state: JobState = JobState.WAITING, **fields: object) -> JobView:
    given = {
        "name": "fit",
        "community": "physics",
        "group": "users",
        "owner": "ada",
        "priority": 5,
        "attempt": 0,
        "submitted": 0.0,
        "changed": 0.0,
    }
    return JobView(id=id, state=state, **{**given, **fields})


def answer(record: object, status: int = 200) -> dict[str, object]:
    """What `responses` answers for a record."""
    return {"body": msgspec.json.encode(record), "status": status, "content_type": "application/json"}
