"""What a request leaves in the audit: that it was done, or that it was refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from central.records import Identity, Note
from central.trust.noting import NOTED, name_of
from central.trust.rules import Caller, community_of
from pilot.errors import Refusal

if TYPE_CHECKING:
    from central.app import Central
    from central.serving.http import Call

__all__ = ["NOTED", "PLAIN", "About", "done", "refused"]
#: Parts of paths that name what a request is about, the first that is there.
_SUBJECTS = ("name", "stamp", "number", "job")


@dataclass(frozen=True)
class About:
    """What a handler knows better of its line than the request says. `community` None: the caller's, of operators the
    operators' own; `who`: of a caller who shows no credentials."""

    subject: str = ""
    detail: str = ""
    community: str | None = None
    who: str = ""


#: Nothing is known better.
PLAIN = About()


async def done(call: Call[Any], what: str) -> None:
    """It was done: of people that is durable before they are answered; of others it is within bounds."""
    about, caller = call.about, call.caller
    subject = about.subject or next((call.parts[name] for name in _SUBJECTS if name in call.parts), "")
    detail = about.detail or str(getattr(call.message, "reason", ""))
    if isinstance(caller, Identity):
        community = (community_of(caller) or "") if about.community is None else about.community
        await call.central.audit.note(Note(caller.user, what, community, "", subject, detail=detail))
    else:
        who = name_of(caller) or about.who
        call.central.audit.bounded(Note(who, what, about.community or "", "", subject, detail=detail))


def refused(central: Central, headers: Mapping[str, str], address: str, request: str, refusal: Refusal) -> None:
    """It was refused. `request`: method and path."""
    caller: Caller = None
    try:
        caller = central.callers.claimed(headers.get("authorization"))
    except Refusal:
        pass  # then it is somebody at that address
    central.audit.refused(caller, address, request, refusal.type, refusal.detail)
