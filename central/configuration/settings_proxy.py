"""How the nodes behind a queue reach the outside: `proxy` and `no_proxy` of ``[[queues]]``."""

from __future__ import annotations

import re

from pilot.errors import InvalidInput
from pilot.fields import Fields, strings
from wrappers.render import NO_PROXY, PROXY

#: Hosts and domains that are reached without the proxy.
MOST = 100
#: Why no proxy's address in the settings has a password.
NO_PASSWORD = (
    "expected a proxy without user and password: what pilots start with is in scripts and in environments that others"
    " on their nodes may read"
)


def proxy(fields: Fields) -> str:
    """The proxy's address, empty where nodes need none. One with a password is refused, and not repeated."""
    value = fields.text("proxy", "", most=300) or ""
    if "@" in value:
        fields.problem("proxy", f"{NO_PASSWORD}; let the proxy know the nodes by their addresses")
        return ""
    if value and not re.fullmatch(PROXY, value):
        fields.problem("proxy", f"expected http://HOST:PORT, got {value!r}")
        return ""
    return value


def no_proxy(fields: Fields) -> tuple[str, ...]:
    return strings(fields, "no_proxy", most=MOST, each=_past)


def _past(value: str, where: str) -> str:
    if not re.fullmatch(NO_PROXY, value):
        raise InvalidInput(where, f"expected a host, a domain or an address, got {value!r}")
    return value
