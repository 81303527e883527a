"""The sections ``[queues.ssh]`` and ``[queues.batch]``: how a queue's computing element is reached and spoken to."""

from __future__ import annotations

import re

from central.configuration import settings_fields as read
from central.configuration.elements import Batch, Ssh
from pilot.fields import Fields, strings

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._:-]{0,253})")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@-]{0,99}")
_JUMP = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._-]*@)?[A-Za-z0-9_][A-Za-z0-9._-]*(?::[0-9]{1,5})?")
#: A word of a batch system, as a partition or an account.
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,:@/+=-]{0,199}")
#: Paths that stand in scripts and lists of several systems: what none of them gives a meaning to.
_PATH = re.compile(r"/[A-Za-z0-9_./+@~-]{0,1000}")


def ssh(fields: Fields) -> Ssh | None:
    """None where the section is absent."""
    if not fields.left:
        return None
    found = Ssh(
        host=_matching(fields, "host", _HOST, "a host's name or address"),
        user=_matching(fields, "user", _USER, "a user's name"),
        port=fields.whole("port", 0, least=1, most=65535) if fields.given("port") else 0,
        key=_path(fields, "key"),
        known_hosts=_path(fields, "known_hosts"),
        jump=_matching(fields, "jump", _JUMP, "[USER@]HOST[:PORT]"),
    )
    if not found.host:
        fields.problem("host", "expected the host that the batch system is reached on")
    fields.finish()
    return found


def batch(fields: Fields) -> Batch:
    default = Batch()
    found = Batch(
        partition=_matching(fields, "partition", _WORD, "a partition's or a queue's name"),
        account=_matching(fields, "account", _WORD, "an account's or a project's name"),
        whole_node=read.flag(fields, "whole_node", default.whole_node),
        extra=strings(fields, "extra", most=100, each=_printable),
        folder=_path(fields, "folder"),
        programs=_path(fields, "programs"),
        environment=read.environment(fields.section("environment")),
        patience=read.seconds(fields, "patience", default.patience),
    )
    fields.finish()
    return found


def _matching(fields: Fields, key: str, pattern: re.Pattern[str], expected: str) -> str:
    value = fields.text(key, "", most=300) or ""
    if value and not pattern.fullmatch(value):
        fields.problem(key, f"expected {expected}, got {value!r}")
        return ""
    return value


def _path(fields: Fields, key: str) -> str:
    value = fields.text(key, "", most=1000) or ""
    if value and not _PATH.fullmatch(value):
        fields.problem(key, f"expected an absolute path of letters, digits and ._/+@~-, got {value!r}")
        return ""
    return value.rstrip("/") or value


def _printable(text: str, where: str) -> str:
    return text
