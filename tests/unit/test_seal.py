"""Sealed tokens and the ring of keys."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest

from central.trust.seal import (
    KEEP_AGE,
    KEY_AGE,
    JobToken,
    Key,
    KeyRing,
    PilotToken,
    Ticket,
    add_unrelated,
    load_ring,
    renewed,
)
from pilot.errors import PilotageError, Refusal

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


def test_the_ring_is_kept_private_and_renewed(tmp_path: Path) -> None:
    """The ring's file is for its owner alone; a new key comes with age, and old tokens stay good."""
    path = tmp_path / "keys.json"
    text = load_ring(path, 1000.0).seal(TOKEN)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = load_ring(path, 1000.0 + KEY_AGE / 2)
    assert again.seal(TOKEN).partition(".")[0] == text.partition(".")[0]
    later = load_ring(path, 1000.0 + KEY_AGE + 1)
    assert later.seal(TOKEN).partition(".")[0] != text.partition(".")[0]
    assert later.open(PilotToken, text) == TOKEN
    assert renewed((OLD, NEW), KEEP_AGE + 0.5)[0] == NEW


def test_rings_that_began_alike_stay_alike(tmp_path: Path) -> None:
    """Centrals with copies of one ring read each other's tokens months later, also one that has run since then."""
    here, there = tmp_path / "here.json", tmp_path / "there.json"
    long_running = load_ring(here, 1000.0)
    there.write_bytes(here.read_bytes())
    later = 1000.0 + 6.5 * KEY_AGE
    text = load_ring(there, later).seal(TOKEN)
    assert text.partition(".")[0] != long_running.seal(TOKEN).partition(".")[0]
    assert long_running.open(PilotToken, text) == TOKEN
    assert load_ring(here, later).open(PilotToken, text) == TOKEN
    assert here.read_bytes() == there.read_bytes()


def test_a_ring_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    """A broken file of keys is an error that names it, never a new ring."""
    (tmp_path / "keys.json").write_text("{")
    with pytest.raises(PilotageError, match=r"keys\.json: the key ring cannot be read"):
        load_ring(tmp_path / "keys.json", 0.0)


def test_a_long_absence_costs_no_credential() -> None:
    """After more than the life of a key the newest of before is still in the ring, because credentials are under it."""
    back = renewed((OLD, NEW), NEW.made + 3 * KEEP_AGE)
    assert NEW in back
    assert OLD not in back
    assert NEW not in renewed(back, NEW.made + 3 * KEEP_AGE)


def test_an_unrelated_key_seals_and_the_others_open(tmp_path: Path) -> None:
    """After a new key was asked for nothing is sealed that whoever has the old ones could open; they open still."""
    path = tmp_path / "keys.json"
    before = load_ring(path, 0.0)
    old = before.seal(Ticket("a" * 32))
    key = add_unrelated(path, 10.0)
    after = load_ring(path, 20.0)
    new = after.seal(Ticket("b" * 32))
    assert new.startswith(f"{key.id}.")
    assert after.open(Ticket, old).stamp == "a" * 32
    with pytest.raises(Refusal):
        before.open(Ticket, new)
    assert path.stat().st_mode & 0o777 == 0o600
