"""Tokens by which pilots that nobody submitted enrol, and the script that a site starts such pilots with."""

from __future__ import annotations

import hashlib
import logging
import secrets
from dataclasses import dataclass

from starlette.responses import Response

from central.added import EnrolmentRow, NewEnrolment
from central.configuration.settings import EXTERNAL, Queue
from central.directors.starting import origin, unsent
from central.serving.audited import About
from central.serving.http import Call, Route
from central.trust.rules import Who, site_of
from pilot.errors import InvalidInput, Refusal
from pilot.places import BootstrapView, EnrolmentPage, EnrolmentView, OpenedEnrolment, OpenEnrolmentRequest
from wrappers.unsent import render

log = logging.getLogger(__name__)
MAX_PILOTS = 1_000_000
#: Seconds for which a token may be good.
LEAST, MOST = 60, 400 * 86400


@dataclass(frozen=True)
class WrapperQuery:
    """`token_file`: where the site keeps the token, an absolute path."""

    token_file: str


async def begin(call: Call[OpenEnrolmentRequest]) -> OpenedEnrolment:
    """Let so many pilots that nobody submitted enrol into a queue. The token is told this once, and kept nowhere."""
    request, queue = call.message, _external(call, call.message.queue)
    if not 1 <= request.pilots <= MAX_PILOTS:
        raise InvalidInput("pilots", f"expected 1 to {MAX_PILOTS}, got {request.pilots}")
    if not LEAST <= request.seconds <= MOST:
        raise InvalidInput("seconds", f"expected {LEAST} s to {MOST // 86400} d, got {request.seconds} s")
    for unknown in sorted(set(request.communities) - set(queue.communities)):
        raise InvalidInput("communities", f"expected some of {', '.join(queue.communities)}, got {unknown!r}")
    token = secrets.token_urlsafe(32)
    row = await call.central.store.open_enrolment(
        NewEnrolment(
            hash=hashlib.sha256(token.encode()).hexdigest(),
            site=queue.site,
            queue=queue.name,
            communities=request.communities or queue.communities,
            pilots=request.pilots,
            seconds=float(request.seconds),
            who=call.person.user,
        )
    )
    fields = {"token": row.id, "queue": queue.name, "pilots": row.pilots, "who": row.who}
    log.info("Pilots that nobody submits may enrol", extra={"fields": fields})
    whom = f"{row.pilots} pilots of {', '.join(row.communities)}"
    call.about = About(f"token {row.id}", f"{whom} into {row.queue}, for {request.seconds} s")
    return OpenedEnrolment(token, _view(row))


async def page(call: Call[None]) -> EnrolmentPage:
    """All such tokens, without the tokens: whom they let in, and who came when they were not good any more. Site admins
    see those of the site."""
    site = site_of(call.person)
    rows = await call.central.store.enrolments()
    return EnrolmentPage(tuple(_view(row) for row in rows if site in (None, row.site)))


async def revoke(call: Call[None]) -> EnrolmentView:
    """Let nobody in any more by this token. Pilots that are in stay: they can be drained."""
    row = await call.central.store.revoke_enrolment(call.number("number"), call.person.user)
    log.info("An enrolment token is revoked", extra={"fields": {"token": row.id, "who": call.person.user}})
    call.about = About(f"token {row.id}", f"of the queue {row.queue}; it let in {row.used}")
    return _view(row)


async def wrapper(call: Call[None]) -> Response:
    """The script that starts one such pilot, as often as it is started. It carries no secret."""
    queue, path = _external(call, call.text("name")), call.query(WrapperQuery).token_file
    if not path.startswith("/") or "\0" in path or len(path) > 1000 or not path.isprintable():
        raise InvalidInput("token_file", f"expected an absolute path, got {path[:120]!r}")
    script = render(unsent(call.central, queue, origin(call.central)), path)
    return Response(script, media_type="text/x-shellscript")


async def bootstrap(call: Call[None]) -> BootstrapView:
    """What a pilot that nobody submits must be told, as by the user-data of a virtual machine."""
    queue = _external(call, call.text("name"))
    start = unsent(call.central, queue, origin(call.central))
    return BootstrapView(
        urls=tuple(start.urls),
        sha256=start.sha256,
        central=tuple(start.central),
        ca_pem=start.ca_pem,
        site=start.site,
        queue=start.queue,
        settings=dict(start.settings),
        proxy=start.proxy,
        no_proxy=tuple(start.no_proxy),
    )


def _external(call: Call[None] | Call[OpenEnrolmentRequest], name: str) -> Queue:
    queue = call.central.settings.queue(name)
    if queue is None:
        known = ", ".join(one.name for one in call.central.settings.queues) or "none"
        raise Refusal("not-found", f"there is no queue {name}; there are: {known}")
    if queue.kind != EXTERNAL:
        known = ", ".join(one.name for one in call.central.settings.queues if one.kind == EXTERNAL) or "none"
        said = f"the queue {name} has a director, which submits its pilots: only an external one has none"
        raise Refusal("conflict", f"{said}; there are: {known}")
    return queue


def _view(row: EnrolmentRow) -> EnrolmentView:
    return EnrolmentView(
        number=row.id,
        site=row.site,
        queue=row.queue,
        communities=row.communities,
        pilots=row.pilots,
        used=row.used,
        who=row.who,
        created=row.created,
        expires=row.expires,
        revoked=row.revoked,
        revoked_by=row.revoked_by,
        refused=row.refused,
        alarm=row.alarm,
    )


_READERS = (Who.OPERATOR, Who.SITE_ADMIN)
ROUTES = (
    Route(
        "POST",
        "/v1/enrolments",
        begin,
        (Who.OPERATOR,),
        "Let pilots enrol that nobody submits",
        message=OpenEnrolmentRequest,
        reply=OpenedEnrolment,
        status=201,
        audit="enrolment.open",
    ),
    Route("GET", "/v1/enrolments", page, _READERS, "List enrolment tokens", reply=EnrolmentPage),
    Route(
        "DELETE",
        "/v1/enrolments/{number:number}",
        revoke,
        (Who.OPERATOR,),
        "Revoke an enrolment token",
        reply=EnrolmentView,
        audit="enrolment.revoke",
    ),
    Route(
        "GET",
        "/v1/queues/{name:name}/bootstrap",
        bootstrap,
        (Who.OPERATOR,),
        "What a pilot that nobody submits is told",
        reply=BootstrapView,
    ),
    Route(
        "GET",
        "/v1/queues/{name:name}/wrapper",
        wrapper,
        (Who.OPERATOR,),
        "The script that starts pilots that nobody submits",
        query=WrapperQuery,
        media="text/x-shellscript",
    ),
)
