"""The monitor asks for credentials that were set anew: when, and what becomes of the answers."""

from __future__ import annotations

from typing import Any

import pytest

from pilot.errors import Refusal, TransportError
from pilot.masking import Secrets
from pilot.messages import Renewed
from pilot.monitor.renewing import HOUR, LEAST, OVER, SETTLED, Held, Renewing, wait
from pilot.protocol import Credential, CredentialVersions, JobSpec, Lease
from pilot.renewals import CredentialsReply, CredentialsRequest, NewerCredentials


def token(version: str, left: int | None = None, name: str = "eos") -> Credential:
    return Credential(name, "bearer", {"token": f"token-{version}"}, (), left, version)


def lease(job: int, *credentials: Credential) -> Lease:
    return Lease(job, 1, 600, JobSpec(("true",)), "job token", 1, credentials=credentials)


class Scene:
    """A monitor's part, and the central that it asks."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked: list[dict[int, dict[str, str]]] = []
        self.answers: list[CredentialsReply | Exception] = []
        self.told: list[Renewed] = []
        self.refused: list[str] = []
        self.said: list[str] = []
        self.secrets = Secrets()
        client: Any = self
        self.renewing = Renewing(
            client,
            self.secrets,
            tell=self.told.append,
            refused=lambda refusal: self.refused.append(refusal.type),
            steady=lambda: self.now,
            rng=lambda: 0.0,
            say=self.said.append,
        )

    def credentials(self, request: CredentialsRequest) -> CredentialsReply:
        self.asked.append({one.job: dict(one.versions) for one in request.attempts})
        answer = self.answers.pop(0) if self.answers else CredentialsReply()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def later(self, seconds: float) -> float:
        """Time passes, and it is looked at."""
        self.now += seconds
        return self.renewing.turn()

    def hear(self, job: int, **versions: str) -> None:
        self.renewing.hear((CredentialVersions(job, 1, versions),))


@pytest.fixture
def scene() -> Scene:
    return Scene()


def newer(job: int, *credentials: Credential, more: bool = False) -> CredentialsReply:
    return CredentialsReply((NewerCredentials(job, 1, credentials),), more)


@pytest.mark.parametrize(
    ("lefts", "expected"),
    [
        ((None,), HOUR),
        ((43_200.0,), HOUR),
        ((600.0, None), 300.0),
        ((600.0, 200.0), 100.0),
        ((30.0,), LEAST),
        ((-5.0,), OVER),
        ((-5.0, 100_000.0), OVER),
        ((-5.0, 200.0), 100.0),
    ],
)
def test_when_to_ask(lefts: tuple[float | None, ...], expected: float) -> None:
    """When half of what the first of them has left is over, but neither more often than once a minute nor more seldom
    than once an hour; in five minutes of one that is over, whose newer one may just not be there yet."""
    lives = [Held("1", None if left is None else 50.0 + left) for left in lefts]
    assert wait(lives, 50.0, 0.0) == expected
    assert LEAST <= wait(lives, 50.0, 1.0) <= expected


def test_a_pilot_without_asks_nothing(scene: Scene) -> None:
    """Who holds no credentials never asks."""
    scene.renewing.leased(lease(1))
    for _ in range(50):
        assert scene.later(HOUR) == HOUR
    assert scene.asked == []


def test_it_asks_when_half_is_over_and_halves_again(scene: Scene) -> None:
    """One question for all attempts, with what they have."""
    scene.renewing.leased(lease(1, token("a", 800)))
    scene.renewing.leased(lease(2, token("b", name="lake")))
    assert scene.later(399) == pytest.approx(1.0)
    assert scene.asked == []
    assert scene.later(1) == pytest.approx(200.0)
    assert scene.asked == [{1: {"eos": "a"}, 2: {"lake": "b"}}]
    scene.answers = [newer(1, token("c", 8000))]
    assert scene.later(200) == pytest.approx(HOUR)
    scene.later(HOUR)
    assert scene.asked[-1] == {1: {"eos": "c"}, 2: {"lake": "b"}}


def test_what_nobody_foresaw_is_no_end(scene: Scene) -> None:
    """It asks again in a minute."""
    scene.renewing.leased(lease(1, token("a")))
    scene.answers = [RuntimeError("no memory"), newer(1, token("b"))]
    with pytest.raises(RuntimeError):
        scene.later(HOUR)
    assert scene.later(LEAST - 1) == pytest.approx(1.0)
    scene.later(1)
    assert [one.credentials[0].version for one in scene.told] == ["b"]


def test_what_came_is_secret_before_anybody_is_told(scene: Scene) -> None:
    """And what it took the place of stays so; of names that the attempt does not have nothing is taken."""
    first = lease(1, token("a"))
    scene.secrets.add("1-1", first.secrets)
    scene.renewing.leased(first)
    scene.answers = [newer(1, token("b"), token("x", name="other"))]
    scene.later(HOUR)
    assert scene.told == [Renewed(1, 1, (token("b"),))]
    assert set(scene.secrets.of("1-1")) == {b"job token", b"token-a", b"token-b"}
    assert not any("token-" in line for line in scene.said)


def test_at_once_when_a_heartbeat_names_it(scene: Scene) -> None:
    """But once for what was named: what the central will not give is not asked for with every heartbeat."""
    scene.renewing.leased(lease(1, token("a")))
    scene.later(100)
    scene.hear(1, eos="a", lake="z")
    scene.hear(7, eos="b")
    assert scene.later(0) > 60
    scene.hear(1, eos="b")
    scene.answers = [newer(1, token("b"))]
    scene.later(0)
    assert [one.credentials[0].version for one in scene.told] == ["b"]
    scene.hear(1, eos="b")
    scene.later(10)
    assert len(scene.asked) == 1
    scene.hear(1, eos="c")  # which is expired, say
    scene.later(10)
    scene.hear(1, eos="c")
    scene.later(10)
    assert len(scene.asked) == 2


def test_who_was_just_leased_is_asked_for_a_little_later(scene: Scene) -> None:
    """Its agent has to have it first."""
    scene.renewing.leased(lease(1, token("a")))
    scene.hear(1, eos="b")
    assert scene.later(0) == pytest.approx(SETTLED)
    assert scene.asked == []
    scene.later(SETTLED)
    assert scene.asked == [{1: {"eos": "a"}}]


def test_who_was_told_of_too_early_is_asked_for_also_after_a_question_for_others(scene: Scene) -> None:
    """A question that it was too early for does not stand for its own."""
    scene.renewing.leased(lease(1, token("a")))
    scene.later(HOUR - 1)
    scene.renewing.leased(lease(2, token("b")))
    scene.hear(2, eos="c")
    assert scene.later(1) == pytest.approx(SETTLED - 1)
    assert scene.asked == [{1: {"eos": "a"}}]
    scene.later(SETTLED - 1)
    assert scene.asked[1] == {1: {"eos": "a"}, 2: {"eos": "b"}}


def test_a_lost_answer_is_asked_for_again(scene: Scene) -> None:
    """After a while that grows, with the same versions; a refusal that passes likewise."""
    scene.renewing.leased(lease(1, token("a")))
    scene.answers = [TransportError("nobody"), Refusal("busy", "later", retry_after=7.0), newer(1, token("b"))]
    first = scene.later(HOUR)
    assert first < 2
    assert scene.later(first) >= 7
    scene.later(10)
    assert scene.asked == [{1: {"eos": "a"}}] * 3
    assert len(scene.told) == 1


def test_an_older_central_is_not_asked_again(scene: Scene) -> None:
    """Until one speaks of credentials that were set anew."""
    scene.renewing.leased(lease(1, token("a")))
    scene.answers = [Refusal("not-found", "there is nothing at /v1/pilots/…/credentials")]
    scene.later(HOUR)
    for _ in range(10):
        scene.later(HOUR)
    assert len(scene.asked) == 1
    scene.hear(1, eos="b")
    scene.later(0)
    assert len(scene.asked) == 2


def test_a_refusal_that_stays_is_no_storm(scene: Scene) -> None:
    """It is asked again once a minute at most, and somebody hears of it."""
    scene.renewing.leased(lease(1, token("a")))
    scene.answers = [Refusal("not-yours", "another pilot's")] * 2
    assert scene.later(HOUR) >= LEAST
    assert scene.refused == ["not-yours"]


def test_an_attempt_that_is_over_gets_nothing(scene: Scene) -> None:
    """Its secrets are not learnt either: nobody would forget them."""
    scene.renewing.leased(lease(1, token("a")))
    scene.answers = [newer(1, token("b"))]
    credentials = scene.credentials

    def meanwhile(request: CredentialsRequest) -> CredentialsReply:
        scene.renewing.over(1, 1)
        scene.secrets.forget("1-1")
        return credentials(request)

    scene.credentials = meanwhile  # type: ignore[method-assign]
    scene.later(HOUR)
    assert scene.told == []
    assert scene.secrets.of("1-1") == ()
    assert scene.later(HOUR) == HOUR


def test_an_answer_without_room_for_all(scene: Scene) -> None:
    """The rest is asked for at once."""
    scene.renewing.leased(lease(1, token("a"), token("a", name="lake")))
    scene.answers = [newer(1, token("b"), more=True), newer(1, token("b", name="lake"))]
    assert scene.later(HOUR) == 0.0
    assert scene.later(0) == HOUR
    assert scene.asked[1] == {1: {"eos": "b", "lake": "a"}}
    assert len(scene.told) == 2
