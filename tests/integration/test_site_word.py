"""The site's word, with real pilots: the policy file is followed, and a touched file empties the computer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pilot.errors import ExitCode
from pilot.protocol import Settings
from pilot.states import Outcome, PilotReason, PilotState
from tests.integration.real_pilot import RealPilot
from tests.integration.wire_central import WireCentral

SECRET = "one-time-secret-of-the-test"
PilotMaker = Callable[..., RealPilot]


@pytest.fixture
def central(tmp_path: Path) -> Iterator[WireCentral]:
    settings = Settings(("physics",), idle=60, lease=600, beat=0.5, match_wait=1, log_interval=0.2)
    with WireCentral(tmp_path, SECRET, settings) as central:
        yield central


@pytest.fixture
def start(tmp_path: Path, central: WireCentral) -> Iterator[PilotMaker]:
    """Starts a pilot under a policy of these lines."""
    made: list[RealPilot] = []

    def start(policy: str = "", **config: Any) -> RealPilot:
        path = tmp_path / "policy.yaml"
        path.write_text(policy)
        path.chmod(0o644)
        pilot = RealPilot(tmp_path, central.url, central.ca, central.secret, policy=str(path), **config)
        made.append(pilot)
        return pilot.start()

    yield start
    for pilot in made:
        pilot.end()
        print(pilot.log)


def facts(central: WireCentral) -> dict[str, object]:
    """What the central has heard of the node."""
    return {fact.name: fact.value for beat in central.heartbeats for fact in beat.facts}


def test_a_touched_file_drains_the_pilot(central: WireCentral, start: PilotMaker, tmp_path: Path) -> None:
    """What runs goes on to its end, nothing new is taken, and the central hears whose wish it was and why."""
    drain, go = tmp_path / "drain", tmp_path / "go"
    first = central.submit("sh", "-c", f"while [ ! -e {go} ]; do sleep 0.1; done; echo whole")
    pilot = start(drain_file=str(drain))
    central.until(lambda: central.leases.get((first, 1)) == "running")
    drain.write_text("new kernel at 14:00\n")
    central.until(lambda: central.heartbeats[-1].state is PilotState.DRAINING)
    later = central.submit("true")
    why = f"the site drains this computer ({drain}): new kernel at 14:00"
    central.until(lambda: facts(central).get("drain") == why)
    go.touch()
    assert pilot.wait() == ExitCode.DONE
    assert central.ended()[first, 1].outcome is Outcome.SUCCESS
    assert (later, 1) not in central.leases
    assert [(bye.reason, bye.message) for bye in central.goodbyes] == [(PilotReason.DRAINED, why)]


def test_the_file_of_the_policy_drains_as_well(central: WireCentral, start: PilotMaker, tmp_path: Path) -> None:
    """A pilot that comes while the file is there takes no job at all, and goes."""
    (tmp_path / "sites").touch()
    central.submit("true")
    assert start(f"drain: {tmp_path / 'sites'}").wait() == ExitCode.DONE
    assert not central.reports
    assert [bye.reason for bye in central.goodbyes] == [PilotReason.DRAINED]


def test_only_the_share_of_the_site_is_offered(central: WireCentral, start: PilotMaker) -> None:
    """Cores and memory are offered as far as the site gives them, and the facts say that a policy was there."""
    start("cores: 1\nmemory: 25 %\nowners: [ann, bob]\n")
    central.until(lambda: central.matches)
    offer = central.matches[0].offer
    assert (offer.cores, offer.memory) == (1, 500_000_000)
    assert (offer.communities, offer.owners) == (("physics",), ("ann", "bob"))
    central.until(lambda: "policy" in facts(central))


def test_who_is_not_let_in_goes_back_unharmed(central: WireCentral, start: PilotMaker) -> None:
    """Should the central send the job of somebody whom the site does not let in, it is given back uncharged."""
    job = central.submit("true")
    pilot = start("owners: [ann]\n")
    central.until(lambda: central.released)
    assert [(lease.job, lease.attempt) for lease in central.released] == [(job, 1)]
    assert not central.reports
    central.until(lambda: "the site's policy lets no job of" in pilot.log)


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        ("communities: [biology]", "the site's policy lets biology in, and this pilot is for physics"),
        ("comunities: [physics]", "comunities: unknown key"),
    ],
)
def test_a_pilot_that_is_not_let_in_goes_at_once(
    central: WireCentral, start: PilotMaker, policy: str, why: str
) -> None:
    """A pilot for others, or under a policy that cannot be understood, runs nothing and tells the central why."""
    central.submit("true")
    assert start(policy).wait() == ExitCode.UNFIT
    assert not central.matches
    (goodbye,) = central.goodbyes
    assert goodbye.reason is PilotReason.UNFIT
    assert why in goodbye.message
