"""The sections of a queue that say how its computing element is reached and spoken to: ssh, batch, arc and the like."""

from __future__ import annotations

import re
from collections.abc import Sequence

from central.configuration import settings_fields as read
from central.configuration.elements import Arc, Batch, Schedd, Ssh, VaultName
from pilot.errors import InvalidInput
from pilot.fields import Fields, strings

#: What a computing element or a cloud may be spoken to with.
CREDENTIALS = ("x509-proxy", "bearer", "application-credential", "access-key")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._:-]{0,253})")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@-]{0,99}")
_JUMP = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._-]*@)?[A-Za-z0-9_][A-Za-z0-9._-]*(?::[0-9]{1,5})?")
_COLLECTOR = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?::[0-9]{1,5})?")
#: A word of a batch system, as a partition or an account.
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.,:@/+=-]{0,199}")
#: A name that an administrator gave, as of a resource.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
#: Where ARC's interface is.
_HTTPS = re.compile(r"https://[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})(?::[0-9]{1,5})?(?:/[A-Za-z0-9._/-]{0,200})?")
#: Paths that stand in scripts and lists of several systems: what none of them gives a meaning to.
_PATH = re.compile(r"/[A-Za-z0-9_./+@~-]{0,1000}")


def credential(fields: Fields, communities: Sequence[str]) -> VaultName | None:
    """None where the section is absent."""
    if not fields.left:
        return None
    found = VaultName(
        community=read.name(fields, "community"),
        owner=read.name(fields, "owner"),
        name=read.name(fields, "name"),
        kind=fields.text("kind", "x509-proxy", choices=CREDENTIALS) or "",
    )
    if found.community not in communities:
        fields.problem("community", f"expected a declared community, got {found.community!r}")
    fields.finish()
    return found


def ssh(fields: Fields) -> Ssh | None:
    """None where the section is absent."""
    if not fields.left:
        return None
    found = Ssh(
        host=matching(fields, "host", _HOST, "a host's name or address"),
        user=matching(fields, "user", _USER, "a user's name"),
        port=fields.whole("port", 0, least=1, most=65535) if fields.given("port") else 0,
        key=path(fields, "key"),
        known_hosts=path(fields, "known_hosts"),
        jump=matching(fields, "jump", _JUMP, "[USER@]HOST[:PORT]"),
    )
    if not found.host:
        fields.problem("host", "expected the host that the batch system is reached on")
    fields.finish()
    return found


def batch(fields: Fields) -> Batch:
    default = Batch()
    found = Batch(
        partition=matching(fields, "partition", _WORD, "a partition's or a queue's name"),
        account=matching(fields, "account", _WORD, "an account's or a project's name"),
        whole_node=read.flag(fields, "whole_node", default.whole_node),
        extra=strings(fields, "extra", most=100, each=_printable),
        folder=path(fields, "folder"),
        programs=path(fields, "programs"),
        environment=read.environment(fields.section("environment")),
        patience=read.seconds(fields, "patience", default.patience),
        parallel_environment=matching(fields, "parallel_environment", _NAME, "a parallel environment's name"),
        memory_resource=matching(fields, "memory_resource", _NAME, "a resource's name"),
        gpu_resource=matching(fields, "gpu_resource", _NAME, "a resource's name"),
    )
    fields.finish()
    return found


def schedd(fields: Fields) -> Schedd:
    default = Schedd()
    found = Schedd(
        name=matching(fields, "name", _WORD, "a schedd's name"),
        pool=matching(fields, "pool", _COLLECTOR, "HOST[:PORT] of a collector"),
        spool=read.flag(fields, "spool", default.spool),
    )
    if (found.pool or found.spool) and not found.name:
        fields.problem("name", "expected the schedd that this is about")
    fields.finish()
    return found


def arc(fields: Fields) -> Arc | None:
    """None where the section is absent."""
    if not fields.left:
        return None
    default = Arc("")
    found = Arc(
        url=matching(fields, "url", _HTTPS, "https://HOST[:PORT]/arex"),
        queue=matching(fields, "queue", _WORD, "a queue's name"),
        ca=path(fields, "ca"),
        proxy=path(fields, "proxy"),
        token=path(fields, "token"),
        delegate=read.flag(fields, "delegate", default.delegate),
        runtime_environments=strings(fields, "runtime_environments", most=20, each=_runtime_environment),
        whole_node=read.flag(fields, "whole_node", default.whole_node),
        prefix=matching(fields, "prefix", _NAME, "what names of jobs begin with"),
        patience=read.seconds(fields, "patience", default.patience),
    )
    if not found.url:
        fields.problem("url", "expected where ARC's interface is, https://HOST[:PORT]/arex")
    if found.proxy and found.token:
        fields.problem("token", "expected one of proxy and token, got both")
    fields.finish()
    return found


def matching(fields: Fields, key: str, pattern: re.Pattern[str], expected: str) -> str:
    value = fields.text(key, "", most=300) or ""
    if value and not pattern.fullmatch(value):
        fields.problem(key, f"expected {expected}, got {value!r}")
        return ""
    return value


def path(fields: Fields, key: str) -> str:
    value = fields.text(key, "", most=1000) or ""
    if value and not _PATH.fullmatch(value):
        fields.problem(key, f"expected an absolute path of letters, digits and ._/+@~-, got {value!r}")
        return ""
    return value.rstrip("/") or value


def _runtime_environment(text: str, where: str) -> str:
    if not _WORD.fullmatch(text):
        raise InvalidInput(where, f"expected a runtime environment's name, as ENV/PROXY, got {text!r}")
    return text


def _printable(text: str, where: str) -> str:
    return text
