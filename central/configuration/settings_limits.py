"""The section ``[[limits]]`` of the settings: at most so much at the same time of all that it names."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from central.configuration import settings_fields as read
from central.configuration.settings import Community, Queue
from central.records import Limit
from pilot import tags
from pilot.errors import InvalidInput
from pilot.fields import Fields

_MOST = 10**9


def limit(fields: Fields, communities: Sequence[Community], queues: Sequence[Queue]) -> Limit:
    """One limit. It names nothing: it is about all that runs. A site or a queue may be one that an operator adds later:
    `central/configuration/unmet.py` tells of those that there are not."""
    groups = {community.name: {group.name for group in community.groups} for community in communities}
    result = Limit(
        name=read.name(fields),
        attempts=read.most(fields, "running", _MOST),
        cores=read.most(fields, "cores", _MOST),
        site=fields.text("site", None, most=100),
        queue=fields.text("queue", None, most=100),
        community=_one_of(fields, "community", groups),
        group=fields.text("group", None, most=100),
        owner=fields.text("owner", None, most=100),
        tag=_tag(fields),
    )
    fields.finish()
    if result.attempts is None and result.cores is None:
        fields.problem("", "expected `running`, `cores` or both: the most that may be out at the same time")
    known = groups.get(result.community or "", set[str]().union(*groups.values()))
    if result.group is not None and result.group not in known:
        of = f" of {result.community}" if result.community else ""
        fields.problem("group", f"expected a declared group{of}, got {result.group!r}")
    place = next((queue.site for queue in queues if queue.name == result.queue), None)
    if result.site and place and result.site != place:
        fields.problem("queue", f"expected a queue of {result.site}, got {result.queue!r}, which is one of {place}")
    return result


def _one_of(fields: Fields, key: str, known: Collection[str]) -> str | None:
    value = fields.text(key, None, most=100)
    if value is not None and value not in known:
        fields.problem(key, f"expected a declared {key}, got {value!r}")
    return value


def _tag(fields: Fields) -> str | None:
    """A single tag, which counts a job when its needs demand it."""
    text = fields.text("tag", None, most=100)
    if text is None:
        return None
    try:
        found = tags.parse(text)
    except InvalidInput:
        found = tags.EVERYTHING
    if isinstance(found, tags.Tag) and found.wanted:
        return found.name
    fields.problem("tag", f"expected one tag that jobs demand, got {text!r}")
    return None
