"""What somebody may send in a minute holds for several centrals over one database together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import postgres
from tests.integration.running_central import RunningCentral, until
from tests.integration.several import Pair, another, first_central

pytestmark = pytest.mark.skipif(bool(postgres.missing()), reason=postgres.missing())

GUESSES = itertools.count()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Two centrals that let nobody fail more than once a second, over a minute."""
    (tmp_path / "one").mkdir()
    one = first_central(tmp_path / "one", postgres.cluster().database(), "failure_rate = 1")
    two = another(one, tmp_path / "two")
    one.start()
    two.start()
    yield Pair(one, two)
    one.close()
    two.close()


def guess(central: RunningCentral) -> int:
    """The status of somebody who tries one token after another."""
    return central.person(None).get("/v1/whoami", headers={"Authorization": f"Bearer {next(GUESSES):040}"}).status_code


def test_who_has_failed_at_one_has_failed_at_the_other(pair: Pair) -> None:
    """Whoever has used up a minute's failures at one is soon told so at the other, after much less than a minute's."""
    until(lambda: guess(pair.one) == 429, "the first to have enough of it")
    began = next(GUESSES)
    until(lambda: guess(pair.two) == 429, "the other to have heard")
    assert next(GUESSES) - began < 50
    assert pair.two.person("ann").get("/v1/whoami").status_code == 200
    assert pair.two.pilot().heartbeat().sequence == 1
