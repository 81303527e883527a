"""What a request leaves in the audit when it was done; and which refusals do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from central.records import Identity, Note
from central.trust.noting import NOTED, name_of
from central.trust.rules import community_of

if TYPE_CHECKING:
    from central.serving.http import Call

__all__ = ["NOTED", "PLAIN", "About", "done"]
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
