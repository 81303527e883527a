"""People keep secrets here for their jobs. Values are written and never read back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

from central.configuration.settings import CentralSettings
from central.records import CredentialRow, Identity, Note
from central.serving.http import Call, Route
from central.trust.delivering import opened, unlocked
from central.trust.expiry import certified, ends_by_itself
from central.trust.rules import Who
from central.trust.vault import version_of
from pilot.credential import (
    NEEDED,
    OPEN,
    REFRESHED,
    CredentialEvent,
    CredentialHistory,
    CredentialPage,
    CredentialRemoved,
    CredentialRequest,
    CredentialView,
    Kind,
    check,
)
from pilot.errors import InvalidInput, InvalidJob, Refusal

#: Credentials of one owner.
MOST = 100
#: Bytes of a request: the largest values, with room for how JSON writes them.
MAX_REQUEST = 256 * 1024
#: Lines of a history.
MAX_EVENTS = 1000
#: Jobs that wait for a credential which is removed, or run with one which is set anew, are counted so far.
MAX_COUNTED = 10_000
NOT_ALLOWED = (
    "expected one that this central may speak to: its operator lists them as `token_urls` in [central] of central.toml"
)


@dataclass(frozen=True)
class OwnerQuery:
    """Whose: for community-admins, who see and remove what members of their community have; else one's own."""

    owner: str | None = None


async def keep(call: Call[CredentialRequest]) -> CredentialView:
    """Keep a secret under a name, in the place of what had that name. Jobs get this that are matched from now on, and
    those that run as soon as their pilots have heard of it."""
    central, request, who = call.central, call.message, call.person
    if problems := check(request):
        raise InvalidJob(problems)
    if request.kind == REFRESHED and not central.refreshing.may_ask(request.values["token_url"]):
        raise InvalidJob((InvalidInput("values.token_url", NOT_ALLOWED),))
    expires = _expires(request, central.wall())
    row = CredentialRow(who.community, who.user, call.text("name"), request.kind, request.urls, expires, "", b"")
    row = central.vault.seal(row, {name: value for name, value in request.values.items() if value})
    changed = await central.store.keep_credential(row, _note(who, "set", row.owner, row.name, row.kind), MOST)
    row = replace(row, changed=changed)
    central.lately.changed(row.community, row.owner, row.name, version_of(row))  # first: what follows may fail
    row = await central.refreshing.row(row)
    running = await central.store.running_with(row.community, row.owner, row.name, MAX_COUNTED)
    return replace(_view(call, row), running=running)


def _expires(request: CredentialRequest, now: float) -> float | None:
    """When it is no longer good: by what its owner said, or by what it says itself. Raises `InvalidJob`."""
    said = None if request.expires_in is None else now + request.expires_in
    try:
        own = ends_by_itself(request.kind, request.values)
        if own is not None and own <= now:
            when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(own))
            raise InvalidInput(f"values.{NEEDED[request.kind][-1]}", f"it has expired already: it ended at {when}")
    except InvalidInput as problem:
        raise InvalidJob((problem,)) from problem
    return min((end for end in (said, own) if end is not None), default=None)


async def page(call: Call[None]) -> CredentialPage:
    """The caller's credentials, without what is secret."""
    owner = _owner(call)
    rows = await call.central.store.credentials(call.person.community, owner)
    return CredentialPage(tuple(_view(call, row) for row in rows))


async def remove(call: Call[None]) -> CredentialRemoved:
    """Remove one. Attempts that have it keep it until their end; jobs that name it are held when they are matched."""
    owner, name = _owner(call), call.text("name")
    note = _note(call.person, "removed", owner, name)
    await call.central.store.remove_credential(call.person.community, owner, name, note)
    return CredentialRemoved(await _naming(call, owner, name))


async def _naming(call: Call[None], owner: str, name: str) -> int:
    """How many jobs of the owner's wait and name it; of very many, the bound."""
    central, found = call.central, 0
    for task, _ in central.dispatcher.queues.queues((call.person.community,)):
        if task.owner == owner and found < MAX_COUNTED:
            found += len(await central.store.waiting_for(task.id, name, MAX_COUNTED - found))
    return found


async def history(call: Call[None]) -> CredentialHistory:
    """What was done with one: set, removed, delivered to pilots, refused, used for signing. Also after its end."""
    owner, name = _owner(call), call.text("name")
    lines = await call.central.store.notes(call.person.community, owner, name, MAX_EVENTS)
    if not lines:
        raise Refusal("not-found", f"there is no credential {name} that you may see, and there was none")
    return CredentialHistory(
        tuple(
            CredentialEvent(
                line.time,
                line.note.who,
                line.note.what.rpartition(".")[2],
                line.note.job,
                line.note.attempt,
                line.note.detail,
            )
            for line in lines
        )
    )


def _owner(call: Call[None]) -> str:
    """Whose credentials are meant. Raises ``forbidden``."""
    who, asked = call.person, call.query(OwnerQuery).owner
    if asked in (None, who.user):
        return who.user
    if who.role not in ("community-admin", "operator"):
        raise Refusal("forbidden", "credentials are their owner's alone; community-admins may list and remove them")
    return str(asked)


def _note(who: Identity, what: str, owner: str, name: str, detail: str = "") -> Note:
    return Note(who.user, f"credential.{what}", who.community, owner, name, detail=detail)


def _view(call: Call[CredentialRequest] | Call[None], row: CredentialRow) -> CredentialView:
    values = unlocked(call.central.vault, row, call.central.wall())
    problem = f"it {values}" if isinstance(values, str) else ""
    if row.kind == REFRESHED and isinstance(token := opened(call.central.vault, row, call.central.wall()), str):
        problem = f"it {token}"
    shown = {} if isinstance(values, str) else _shown(row.kind, values)
    return CredentialView(
        name=row.name,
        kind=cast(Kind, row.kind),
        community=row.community,
        owner=row.owner,
        changed=row.changed,
        urls=row.urls,
        expires=row.expires,
        shown=shown,
        problem=problem,
        queues=_queues(call.central.settings, row),
    )


def _queues(settings: CentralSettings, row: CredentialRow) -> tuple[str, ...]:
    """Those whose computing elements are spoken to with it."""
    mine = (row.community, row.owner, row.name)
    return tuple(
        queue.name
        for queue in settings.queues
        if (used := queue.credential) and (used.community, used.owner, used.name) == mine
    )


def _shown(kind: str, values: Mapping[str, str]) -> dict[str, str]:
    """What is no secret of it. A proxy is known by whose it is and what its VOMS attributes say."""
    if kind == "x509-proxy":
        proxy = certified(values["proxy"])
        return {"subject": proxy.subject, **({"attributes": ", ".join(proxy.attributes)} if proxy.attributes else {})}
    return {name: value for name, value in values.items() if name in OPEN}


_PATH = "/v1/credentials/{name:name}"
ROUTES = (
    Route("GET", "/v1/credentials", page, (Who.MEMBER,), "List credentials", reply=CredentialPage, query=OwnerQuery),
    Route(
        "PUT",
        _PATH,
        keep,
        (Who.MEMBER,),
        "Keep a credential",
        message=CredentialRequest,
        reply=CredentialView,
        bound=MAX_REQUEST,
    ),
    Route("DELETE", _PATH, remove, (Who.MEMBER,), "Remove a credential", reply=CredentialRemoved, query=OwnerQuery),
    Route(
        "GET",
        f"{_PATH}/history",
        history,
        (Who.MEMBER,),
        "What was done with a credential",
        reply=CredentialHistory,
        query=OwnerQuery,
    ),
)
