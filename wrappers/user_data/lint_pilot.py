"""What speaks against user-data that makes a machine a pilot: what its pilot is told must go with what its units do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pilot.halting import ELASTIC, NEVER, POLICIES
from wrappers.user_data.model import PLACE
from wrappers.user_data.units import SERVICE, TIMER

#: What is done about the reach of payloads to the metadata service.
_REACH = ("guard", "refuse", "open")
_TOLD = f"{PLACE}/boot.json"


def contradictions(document: Mapping[str, Any]) -> Iterator[str]:
    """Sentences; none where the user-data makes no pilot."""
    files = _files(document)
    if _TOLD not in files:
        return
    try:
        config = json.loads(files[_TOLD])["config"]
        told = dict(config)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        yield f"{_TOLD}: expected JSON with the pilot's configuration in `config`: {error}"
        return
    yield from (f"{_TOLD}: {problem}" for problem in _told(told))
    yield from _ends(files, document, told.get("halting"))


def _told(told: Mapping[str, Any]) -> Iterator[str]:
    halting, reach = told.get("halting", ELASTIC), told.get("metadata", "open")
    if halting not in POLICIES:
        yield f"halting: expected one of {', '.join(POLICIES)}, got {halting!r}"
    if reach not in _REACH:
        yield f"metadata: expected one of {', '.join(_REACH)}, got {reach!r}"
    if reach == "refuse" and not told.get("slot_users"):
        yield "metadata: expected slot_users with it: payloads that run as the pilot cannot be cut off, and none runs"
    if told.get("billing_period") and halting != ELASTIC:
        yield f"billing_period: expected none with halting = {halting}: it says when an elastic machine ends"


def _ends(files: Mapping[str, str], document: Mapping[str, Any], halting: object) -> Iterator[str]:
    service, started = files.get(f"/etc/systemd/system/{SERVICE}", ""), json.dumps(document.get("runcmd"))
    if halting == NEVER and "=poweroff" in service:
        yield f"{SERVICE}: expected no poweroff when its pilot ends: the queue says halting = never"
    if f"/etc/systemd/system/{TIMER}" not in files or TIMER not in started:
        yield f"{TIMER}: expected it among the files, and to be started: without it nothing ends a machine that hangs"


def _files(document: Mapping[str, Any]) -> dict[str, str]:
    """path → content of what is a text."""
    entries = document.get("write_files")
    found = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return {str(entry.get("path")): entry["content"] for entry in found if isinstance(entry.get("content"), str)}
