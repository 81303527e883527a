"""The last line of the lane: what was looked at, and what could not be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

_OUTCOME = pytest.StashKey[list[str]]()


@pytest.fixture
def outcome(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Add to that line."""
    return request.config.stash.setdefault(_OUTCOME, []).append


def pytest_unconfigure(config: pytest.Config) -> None:
    """After pytest's own last line, since the last one is what `./dev test` shows of a lane that passed."""
    if said := config.stash.get(_OUTCOME, []):
        print("\ndependencies: " + "; ".join(said))
