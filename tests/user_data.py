"""A virtual machine that is to become a pilot, for tests of user-data."""

from __future__ import annotations

from typing import Any

from wrappers.render import Bootstrap
from wrappers.user_data.model import Boot

BORN = 1_800_000_000.0


def boot(bootstrap: dict[str, Any] | None = None, **change: Any) -> Boot:
    """One with all that a real one has; what is given takes the place of that."""
    start: dict[str, Any] = {
        "stamp": "a" * 32,
        "urls": ["https://central.example:9618/v1/pilot/" + "b" * 64, "http://mirror.example/pilot.pyz"],
        "sha256": "b" * 64,
        "central": ["https://central.example:9618"],
        "ticket": "t" * 220,
        "secret_file": "secret",
        "site": "cloud",
        "queue": "large",
        "settings": {"cores": 8, "memory": 16 * 10**9, "slot_users": "20000-20063", "resume": True},
    }
    given: dict[str, Any] = {"secret": "s" * 43, "born": BORN, "life": 14 * 86_400}
    return Boot(Bootstrap(**{**start, **(bootstrap or {})}), **{**given, **change})
