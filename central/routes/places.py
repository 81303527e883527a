"""Sites and queues that operators add, change and take away while the central runs; every version is kept."""

from __future__ import annotations

import logging
import re
import tomllib
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

import msgspec

from central.added import PlaceRow
from central.configuration.in_force import QUEUE, SITE
from central.configuration.settings import Queue
from central.configuration.settings_clouds import account
from central.configuration.settings_file import InvalidSettings
from central.directors import asking
from central.people import Whose
from central.routes.existing import queue_for
from central.serving.audited import About
from central.serving.http import Call, Route
from central.trust.rules import Who, site_of
from pilot.errors import InvalidInput, PilotageError, Refusal
from pilot.places import (
    MAX_TEXT,
    AddQueueRequest,
    AddSiteRequest,
    CheckReply,
    PlaceHistory,
    PlaceVersion,
    QueueDetail,
    RestoreQueueRequest,
)
from pilot.states import LIVE_PILOT

log = logging.getLogger(__name__)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
#: Of a queue, what is said beside its settings.
_BESIDE = ("name", "site", "kind")


async def add(call: Call[AddQueueRequest]) -> PlaceVersion:
    """Add a queue, or change one that was added. It is taken up at once, by every central."""
    return await _keep(call, call.message.text, call.message.force)


async def restore(call: Call[RestoreQueueRequest]) -> PlaceVersion:
    """Make an older version of a queue the newest, also of one that was removed."""
    name, number = call.text("name"), call.message.number
    older = next((row for row in await _history(call, QUEUE, name) if row.version == number), None)
    if older is None or not older.text:
        raise Refusal("not-found", f"the queue {name} has no version {number} with a text")
    return await _keep(call, older.text, call.message.force, f"restored version {number}")


async def _keep(
    call: Call[AddQueueRequest] | Call[RestoreQueueRequest], text: str, force: bool, note: str = ""
) -> PlaceVersion:
    if len(text.encode()) > MAX_TEXT:
        raise Refusal("too-large", "this is no queue", expected=f"{MAX_TEXT} bytes")
    try:
        queue = call.central.places.read(text, call.person)
    except InvalidSettings as error:
        raise Refusal("invalid", str(error), problems=error.problems) from error
    await _expect_same_account(call, queue)
    said = "it was not asked" if force else await _checked(call, queue)
    row = await call.central.store.keep_place(QUEUE, queue.name, text, call.person.user, note)
    await _taken_up(call, row)
    call.about = About(queue.name, f"version {row.version}{f': {note}' if note else ''}{', unasked' if force else ''}")
    return _view(row, said)


async def _expect_same_account(call: Call[AddQueueRequest] | Call[RestoreQueueRequest], queue: Queue) -> None:
    """Machines are followed in the account that the settings name, and nowhere else. Raises `Refusal`."""
    before = call.central.settings.queue(queue.name)
    if before is None or account(before) in ((), account(queue)):
        return
    counts = (await call.central.store.pilot_counts([queue.name])).get(queue.name, {})
    if live := sum(count for state, count in counts.items() if state in LIVE_PILOT):
        raise Refusal(
            "conflict",
            f"the queue {queue.name} has {live} live pilots in the account that it names now, whose machines nobody"
            " would delete if it named another: pause it, and drain them or wait for their ends; or add another queue",
        )


async def _checked(call: Call[AddQueueRequest] | Call[RestoreQueueRequest], queue: Queue) -> str:
    try:
        return await asking.check(call.central, queue)
    except PilotageError as error:
        raise Refusal(
            "conflict", f"the queue {queue.name} is not added: {error}; correct that, or add it unasked with `--force`"
        ) from error


async def remove(call: Call[None]) -> PlaceVersion:
    """Take away a queue that was added; its versions stay. Not while pilots of it live."""
    name = call.text("name")
    _expect_added(call, QUEUE, name)
    row = await call.central.store.remove_place(QUEUE, name, call.person.user)
    await _taken_up(call, row)
    return _view(row)


async def history(call: Call[None]) -> PlaceHistory:
    """Every version of a queue that was added, the newest first. Site admins see those of their site."""
    name = call.text("name")
    if site_of(call.person) is None:
        return PlaceHistory(tuple(map(_view, await _history(call, QUEUE, name))))
    queue_for(call, name)
    rows = at_site(await _history(call, QUEUE, name), call.person.site)
    return PlaceHistory(tuple(map(_view, rows)))


def at_site(rows: Sequence[PlaceRow], site: str) -> tuple[PlaceRow, ...]:
    """The newest versions of a queue, back to where it was another site's, or was not there."""
    return tuple(takewhile(lambda row: _site_in(row.text) == site, rows))


def _site_in(text: str) -> str:
    """The site that a queue names, as it was written."""
    document = tomllib.loads(text)  # it was read before it was kept
    table = document.get("queues", document)
    return str((table[0] if isinstance(table, list) else table).get("site", ""))


async def show(call: Call[None]) -> QueueDetail:
    """The settings in force of a queue, and where they come from."""
    name, places = call.text("name"), call.central.places
    if (own := site_of(call.person)) is not None:
        queue_for(call, name)
    problem = places.problems.get((QUEUE, name), "")
    row = places.added(QUEUE, name)
    if problem:
        row = next((one for one in await call.central.store.places() if (one.kind, one.name) == (QUEUE, name)), None)
    if own is not None and row is not None and _site_in(row.text) != own:  # what counts under this name is the file's
        row, problem = None, ""
    queue = places.settings.queue(name)
    if queue is None and row is None:
        known = ", ".join(one.name for one in places.settings.queues) or "none"
        raise Refusal("not-found", f"there is no queue {name}; there are: {known}")
    settings = {} if queue is None else _unusual(queue)
    site, kind = (queue.site, queue.kind) if queue else ("", "")
    return QueueDetail(name, site, kind, settings, _view(row) if row else None, problem)


async def check(call: Call[None]) -> CheckReply:
    """Ask the computing element of a queue something that changes nothing."""
    queue = queue_for(call, call.text("name"))
    try:
        return CheckReply(await asking.check(call.central, queue))
    except PilotageError as error:
        raise Refusal("conflict", str(error)) from error


async def add_site(call: Call[AddSiteRequest]) -> PlaceVersion:
    """Add a site, for queues to be added to."""
    name = call.message.name
    if not _NAME.fullmatch(name):
        raise InvalidInput("name", f"expected letters, digits, '.', '_' and '-', at most 100, got {name[:120]!r}")
    if call.central.places.declares(SITE, name):
        raise Refusal("conflict", f"there is a site {name} already: central.toml declares it")
    call.about = About(name)
    before = next(iter(await call.central.store.place_history(SITE, name)), None)
    if before and before.text:
        return _view(before, f"it was there already: {before.who} added it")
    row = await call.central.store.keep_place(SITE, name, f'name = "{name}"\n', call.person.user)
    await _taken_up(call, row)
    return _view(row)


async def remove_site(call: Call[None]) -> PlaceVersion:
    """Take away a site that was added and has no queues."""
    name = call.text("name")
    _expect_added(call, SITE, name)
    if queues := [queue.name for queue in call.central.settings.queues if queue.site == name]:
        raise Refusal("conflict", f"the site {name} has queues: {', '.join(queues)}; remove them first")
    if admins := sorted(one.user for one in call.central.people.roles(Whose(site=name))):
        raise Refusal("conflict", f"the site {name} has admins: {', '.join(admins)}; revoke them first")
    row = await call.central.store.remove_place(SITE, name, call.person.user)
    await _taken_up(call, row)
    return _view(row)


def _expect_added(call: Call[None], kind: str, name: str) -> None:
    places = call.central.places
    if places.declares(kind, name) and (kind, name) not in places.problems:
        todo = "take it out there and start the central anew"
        raise Refusal("conflict", f"the {kind} {name} is not removed: central.toml declares it; {todo}")


async def _history(call: Call[None] | Call[RestoreQueueRequest], kind: str, name: str) -> tuple[PlaceRow, ...]:
    rows = await call.central.store.place_history(kind, name)
    if not rows:
        where = " (central.toml declares it)" if call.central.places.declares(kind, name) else ""
        raise Refusal("not-found", f"no {kind} {name} was added through the API{where}")
    return rows


async def _taken_up(call: Call[Any], row: PlaceRow) -> None:
    await call.central.look_at_places()
    done = "removed" if not row.text else row.note or "added or changed"
    fields = {"kind": row.kind, "name": row.name, "number": row.version, "who": row.who, "what": done}
    log.info("A site or a queue is changed", extra={"fields": fields})


def _view(row: PlaceRow, said: str = "") -> PlaceVersion:
    return PlaceVersion(row.kind, row.name, row.version, row.text, row.who, row.created, row.note, said)


def _unusual(queue: Queue) -> dict[str, str]:
    """The settings that are other than those of a queue of which only the name is known."""
    usual, plain = _plain(Queue("", "")), _plain(queue)
    plain = {**plain, "settings": {key: value for key, value in plain["settings"].items() if key not in plain}}
    found = {key: _different(value, usual[key]) for key, value in plain.items() if key not in _BESIDE}
    return {key: msgspec.json.encode(value).decode() for key, value in found.items() if value not in (usual[key], {})}


def _different(value: Any, usual: Any) -> Any:
    """Of a section what is said in it, of all else the value."""
    if not isinstance(value, dict):
        return value
    if isinstance(usual, dict):
        return {key: one for key, one in value.items() if one != usual[key]}
    return {key: one for key, one in value.items() if one or one is False}


def _plain(queue: Queue) -> Mapping[str, Any]:
    values: Mapping[str, Any] = msgspec.to_builtins(queue)
    return values


_QUEUE = "/v1/queues/{name:name}"
_OPERATORS = (Who.OPERATOR,)
_AT_SITES_TOO = (Who.OPERATOR, Who.SITE_ADMIN)
ROUTES = (
    Route(
        "POST",
        "/v1/queues",
        add,
        _OPERATORS,
        "Add or change a queue",
        message=AddQueueRequest,
        reply=PlaceVersion,
        bound=2 * MAX_TEXT,
        status=201,
        audit="queue.add",
    ),
    Route("GET", _QUEUE, show, _AT_SITES_TOO, "One queue's settings", reply=QueueDetail),
    Route(
        "DELETE",
        _QUEUE,
        remove,
        _OPERATORS,
        "Take away a queue that was added",
        reply=PlaceVersion,
        audit="queue.remove",
    ),
    Route("GET", f"{_QUEUE}/history", history, _AT_SITES_TOO, "Versions of a queue", reply=PlaceHistory),
    Route(
        "POST",
        f"{_QUEUE}/restore",
        restore,
        _OPERATORS,
        "Make an older version of a queue the newest",
        message=RestoreQueueRequest,
        reply=PlaceVersion,
        audit="queue.restore",
    ),
    Route("POST", f"{_QUEUE}/check", check, _AT_SITES_TOO, "Ask a queue's computing element", reply=CheckReply),
    Route(
        "POST",
        "/v1/sites",
        add_site,
        _OPERATORS,
        "Add a site",
        message=AddSiteRequest,
        reply=PlaceVersion,
        status=201,
        audit="site.add",
    ),
    Route(
        "DELETE",
        "/v1/sites/{name:name}",
        remove_site,
        _OPERATORS,
        "Take away a site",
        reply=PlaceVersion,
        audit="site.remove",
    ),
)
