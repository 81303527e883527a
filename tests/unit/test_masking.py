"""Secrets in logs."""

from hypothesis import given
from hypothesis import strategies as st

from pilot.masking import RENEWALS, Secrets, mask, unfinished

SECRETS = (b"correct-horse-battery", b"horse-b")


def test_stars_of_the_same_length() -> None:
    """A secret becomes stars, as many as it has bytes, wherever and however often it stands."""
    data = b"a correct-horse-battery, a horse-b and a horse"
    assert mask(data, SECRETS) == b"a *********************, a ******* and a horse"


@given(text=st.binary(max_size=30), cut=st.integers(1, len(SECRETS[0]) - 1))
def test_a_beginning_is_held_back(text: bytes, cut: int) -> None:
    """What may be the beginning of a secret is counted, at least as much as there is of it."""
    data = text + SECRETS[0][:cut]
    assert unfinished(data, SECRETS[:1]) >= cut or mask(data, SECRETS[:1]) != data


def test_nothing_is_held_back_without_reason() -> None:
    """A text that ends otherwise is whole."""
    assert unfinished(b"a correct horse.", SECRETS) == 0
    assert unfinished(b"a complete horse-b", (b"horse-b",)) == 0


def test_owners() -> None:
    """An attempt's log is searched for its own secrets and the pilot's; the pilot's own log for all that are known."""
    secrets = Secrets()
    secrets.add(None, ["session-key"])
    secrets.add("1-1", ["token-of-1", "short"])
    secrets.add("2-1", ["token-of-2"])
    assert set(secrets.of("1-1")) == {b"session-key", b"token-of-1"}
    assert set(secrets.of(None)) == {b"session-key", b"token-of-1", b"token-of-2"}
    secrets.add("1-1", ["another-of-1"])
    secrets.forget("2-1")
    assert set(secrets.of(None)) == {b"session-key", b"token-of-1", b"another-of-1"}


def test_what_came_in_the_place_of_a_secret() -> None:
    """Old and new are secret until the attempt is over; of very many renewals the oldest are let go of."""
    secrets = Secrets()
    secrets.add("1-1", ["token-of-1", "first-of-1"])
    secrets.renew("1-1", ["second-of-1-which-is-longer", "short"])
    assert secrets.of("1-1") == (b"second-of-1-which-is-longer", *sorted(secrets.of("1-1")[1:], key=len, reverse=True))
    assert set(secrets.of("1-1")) == {b"token-of-1", b"first-of-1", b"second-of-1-which-is-longer"}
    assert set(secrets.of(None)) == set(secrets.of("1-1"))
    for number in range(RENEWALS):
        secrets.renew("1-1", [f"later-{number}"])
    assert b"second-of-1-which-is-longer" not in secrets.of("1-1")
    assert {b"token-of-1", b"first-of-1", b"later-0"} <= set(secrets.of("1-1"))
    secrets.forget("1-1")
    assert not secrets.of("1-1")
    assert not secrets.of(None)
