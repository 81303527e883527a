"""The central about itself: who asks, health, figures, events, this interface, and the pilot's file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import msgspec
from starlette.responses import FileResponse, Response

from central import events
from central.serving import metrics, sse
from central.serving.http import Call, Route
from central.trust.rules import Scope, TokenCaller, Who, community_of
from central.version import software_version
from pilot.errors import Refusal
from pilot.views import Health, WhoAmI


async def whoami(call: Call[None]) -> WhoAmI:
    """Who the token says that the caller is."""
    person = call.person
    known = WhoAmI(person.user, person.community, person.group, person.role, software_version(), site=person.site)
    if not isinstance(person, TokenCaller):
        return known
    scopes = tuple(scope.value for scope in Scope if scope in person.scopes)
    return replace(known, token=person.token, scopes=scopes, expires=person.expires)


async def health(call: Call[None]) -> Health:
    """Whether the central works: it answers, and so does its store."""
    await call.central.store.now()
    return Health("ok", software_version(), call.central.clock.now() - call.central.started)


async def figures(call: Call[None]) -> Response:
    """The figures for Prometheus."""
    text = call.central.metrics.text(await call.central.store.counts())
    return Response(text, headers={"Content-Type": metrics.MEDIA})


async def interface(call: Call[None]) -> Response:
    """This interface as an OpenAPI document."""
    return Response(call.central.interface, media_type="application/json")


async def pilot_file(call: Call[None]) -> Response:
    """The file that pilots are started from, named by its SHA-256: whoever fetches it checks that."""
    path = call.central.pilot_files.get(call.text("sha256"))
    if path is None:
        raise Refusal("not-found", "there is no pilot's file with this SHA-256")
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return FileResponse(path, headers=headers, media_type="application/octet-stream")


async def watch(call: Call[None]) -> Response:
    """Server-sent events of what the caller may see: `job`, `jobs`, `pilot`; `missed` when a reader was too slow."""
    if call.central.hub.crowded:
        raise Refusal("busy", "too many watch already", retry_after=30.0)
    return sse.EventStream(_events(call), call.still)


async def _events(call: Call[None]) -> AsyncIterator[bytes]:
    central = call.central
    with central.hub.watching(community_of(call.person)) as watcher:
        yield sse.comment("watching")
        quiet = 0.0
        while not central.closing.is_set():
            happened = await watcher.next(1.0)
            quiet = 0.0 if happened else quiet + 1.0
            if watcher.missed:
                yield sse.event("missed", b"%d" % watcher.missed)
                watcher.missed = 0
            for event in happened:
                yield sse.event(events.NAMES[type(event)], msgspec.json.encode(event))
            if quiet >= sse.KEEPALIVE:
                quiet = 0.0
                yield sse.comment()


ROUTES = (
    Route("GET", "/v1/whoami", whoami, (Who.MEMBER, Who.SITE_ADMIN), "Who the caller is", reply=WhoAmI),
    Route("GET", "/v1/events", watch, (Who.MEMBER,), "Watch what happens", media=sse.MEDIA),
    Route(
        "GET",
        "/v1/pilot/{sha256:sha256}",
        pilot_file,
        (Who.ANYBODY,),
        "The pilot's file",
        media="application/octet-stream",
    ),
    Route("GET", "/healthz", health, (Who.ANYBODY,), "Whether the central works", reply=Health),
    Route("GET", "/metrics", figures, (Who.OPERATOR,), "Figures for Prometheus", media="text/plain"),
    Route("GET", "/openapi.json", interface, (Who.ANYBODY,), "This interface"),
)
