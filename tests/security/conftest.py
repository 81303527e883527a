"""A central that counts no requests: what is refused here is refused by a rule, and not for coming too often."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.conftest import anyio_backend, clock, store
from tests.integration.conftest import CentralMaker, make_central
from tests.integration.running_central import RunningCentral
from tests.security.cast import Cast

__all__ = ["anyio_backend", "clock", "make_central", "store"]

UNCOUNTED = 'person_rate = "unlimited"\npilot_rate = "unlimited"\nfailure_rate = "unlimited"'


@pytest.fixture(scope="module")
def central(make_central: CentralMaker) -> RunningCentral:
    """One central for the tests of a module."""
    return make_central(UNCOUNTED)


@pytest.fixture(scope="module")
def cast(central: RunningCentral) -> Iterator[Cast]:
    """Everybody who may call it."""
    with Cast(central) as cast:
        yield cast
