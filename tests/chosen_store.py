"""The store that end-to-end tests run on: SQLite, or what the environment says.

PILOTAGE_TEST_STORE=postgres gives every central a database of its own in a server for the tests, and
PILOTAGE_TEST_WORKERS=n has a whole system (`tests/system.py`) served by so many processes.
"""

from __future__ import annotations

import os

from tests import postgres

NAME = os.environ.get("PILOTAGE_TEST_STORE", "sqlite")
WORKERS = int(os.environ.get("PILOTAGE_TEST_WORKERS", "1"))


def settings() -> str:
    """More lines for the section ``[central]`` of a new central."""
    if NAME == "sqlite":
        return ""
    assert NAME == "postgres", f"PILOTAGE_TEST_STORE: expected sqlite or postgres, got {NAME}"
    assert not postgres.missing(), postgres.missing()
    return f'database = "{postgres.cluster().database()}"\n'
