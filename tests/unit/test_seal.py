"""Sealed tokens."""

from __future__ import annotations

import base64

import pytest

from central.trust.seal import JobToken, Key, KeyRing, PilotToken, Ticket
from pilot.errors import Refusal

STAMP = "ab" * 16
OLD, NEW = Key("old", b"o" * 32, 0.0), Key("new", b"n" * 32, 1.0)
TOKEN = PilotToken(STAMP, 2, b"k" * 32, 10.0, 20.0, None)


def test_what_was_sealed_is_opened() -> None:
    """A token comes back as it was sealed, and its text shows nothing of it."""
    ring = KeyRing((NEW,))
    text = ring.seal(TOKEN)
    assert ring.open(PilotToken, text) == TOKEN
    assert KeyRing((NEW,)).open(PilotToken, text) == TOKEN
    assert STAMP not in text
    assert ring.seal(TOKEN) != text


def test_the_newest_key_seals_and_all_open() -> None:
    """A token of an older key stays good after a new key came; without its key it is worthless."""
    text = KeyRing((OLD,)).seal(TOKEN)
    both = KeyRing((OLD, NEW))
    assert both.open(PilotToken, text) == TOKEN
    assert both.seal(TOKEN).startswith("new.")
    with pytest.raises(Refusal, match="does not have") as caught:
        KeyRing((NEW,)).open(PilotToken, text)
    assert caught.value.type == "unauthorized"


@pytest.mark.parametrize("seen_before", [False, True])
def test_one_kind_is_never_taken_for_another(seen_before: bool) -> None:
    """A ticket cannot pass for a pilot's token, nor a payload's for a ticket, also when it was opened before."""
    ring = KeyRing((NEW,))
    ticket, job = ring.seal(Ticket(STAMP)), ring.seal(JobToken(1, 1, STAMP, "c", 5.0))
    if seen_before:
        ring.open(Ticket, ticket)
        ring.open(JobToken, job)
    for kind, text in ((PilotToken, ticket), (Ticket, job), (JobToken, ticket)):
        with pytest.raises(Refusal):
            ring.open(kind, text)


def test_a_changed_token_is_refused() -> None:
    """Any changed bit, cut or garbage makes a token worthless."""
    ring = KeyRing((NEW,))
    text = ring.seal(TOKEN)
    name, _, sealed = text.partition(".")
    raw = bytearray(base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4)))
    raw[20] ^= 1
    changed = f"{name}.{base64.urlsafe_b64encode(raw).decode().rstrip('=')}"
    for bad in (changed, text[:-5], text[: len(name) + 5], "new.", "new.!!!", "", f"{text}é"):
        with pytest.raises(Refusal):
            ring.open(PilotToken, bad)
