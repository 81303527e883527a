"""Looking into the directory of a running job: an order to its pilot, whose answer is a log of the attempt.

For the owner and those who may kill the job: what is in its directory may say more than it printed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from central.serving.http import Call, Route
from central.trust.rules import Who, community_of, may_change_job
from pilot.errors import InvalidInput, Refusal
from pilot.looking import PeekReply, PeekRequest, PeekView
from pilot.protocol import MAX_PEEK, Peek, Peeked, attempt_stream
from pilot.states import OrderVerb
from pilot.views import AttemptView

#: Seconds that a request for an answer may wait.
MAX_WAIT = 30.0
#: Looks into one pilot's jobs that may wait for it.
MAX_WAITING = 20
MAX_PATH = 4096
_head = msgspec.json.Decoder(Peeked)


@dataclass(frozen=True)
class PeekQuery:
    """Seconds to wait for the answer."""

    wait: float = MAX_WAIT


async def look(call: Call[PeekRequest]) -> PeekReply:
    """Ask the pilot that runs the job."""
    central, request, number = call.central, call.message, call.number("job")
    if len(request.path) > MAX_PATH:
        raise InvalidInput("path", f"expected at most {MAX_PATH} characters")
    if request.path.startswith("/") or ".." in request.path.split("/"):
        raise InvalidInput("path", f"expected one below the job's directory, as results/fit.log, got {request.path!r}")
    if not 0 < request.most <= MAX_PEEK:
        raise InvalidInput("most", f"expected 1 to {MAX_PEEK} bytes, got {request.most}")
    await _permitted(call, number)
    running = next((view for view in await _attempts(call, number) if view.ended is None), None)
    if running is None or request.attempt not in (None, running.attempt):
        which = f"attempt {request.attempt}" if request.attempt else "attempt"
        raise Refusal("conflict", f"no {which} of job {number} is running: there is nothing to look into")
    if len(await central.store.orders(running.pilot)) >= MAX_WAITING:
        raise Refusal("busy", f"{MAX_WAITING} orders wait for this pilot already", retry_after=10.0)
    wanted = Peek(request.path, request.offset, request.most)
    order = await central.orders.give(
        running.pilot,
        OrderVerb.PEEK,
        who=call.person.user,
        job=number,
        attempt=running.attempt,
        argument=msgspec.json.encode(wanted).decode(),
    )
    return PeekReply(number, running.attempt, order)


async def answer(call: Call[None]) -> PeekView:
    """What the pilot has answered, waited for."""
    wait = call.query(PeekQuery).wait
    if not 0 <= wait <= MAX_WAIT:
        raise InvalidInput("wait", f"expected 0 to {MAX_WAIT:g} seconds, got {wait}")
    logs, job, attempt = call.central.logs, call.number("job"), call.number("attempt")
    await _permitted(call, job)
    view = next((view for view in await _attempts(call, job) if view.attempt == attempt), None)
    if view is None:
        raise Refusal("not-found", f"job {job} has had no attempt {attempt}")
    stream = attempt_stream(job, attempt, f"peek{call.number('peek')}")
    size, closed = await logs.size(view.pilot, stream)
    if not closed and view.ended is None:
        await logs.wait(view.pilot, stream, size, wait)
        size, closed = await logs.size(view.pilot, stream)
    if not closed:
        if view.ended is not None:
            raise Refusal("conflict", f"attempt {attempt} of job {job} has ended before its pilot could look")
        return PeekView(ready=False)
    head, _, content = (await logs.read(view.pilot, stream, 0, size)).partition(b"\n")
    found = _head.decode(head)
    return PeekView(True, found.path, found.folder, found.size, found.offset, content, found.problem)


async def _permitted(call: Call[PeekRequest] | Call[None], job: int) -> None:
    """Raises ``not-found`` or ``forbidden`` unless the caller may look into this job."""
    view = (await call.central.store.job(community_of(call.person), job)).job
    if not may_change_job(call.person, view.community, view.group, view.owner):
        raise Refusal("forbidden", f"job {job} is {view.owner}'s: only its owner and admins look into it")


async def _attempts(call: Call[PeekRequest] | Call[None], job: int) -> Iterator[AttemptView]:
    return reversed(await call.central.store.attempts(community_of(call.person), job))


ROUTES = (
    Route(
        "POST",
        "/v1/jobs/{job:number}/peeks",
        look,
        (Who.MEMBER,),
        "Look into a running job's directory",
        message=PeekRequest,
        reply=PeekReply,
    ),
    Route(
        "GET",
        "/v1/jobs/{job:number}/peeks/{attempt:number}/{peek:number}",
        answer,
        (Who.MEMBER,),
        "What was seen there",
        reply=PeekView,
        query=PeekQuery,
    ),
)
