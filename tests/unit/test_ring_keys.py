"""The keys of a ring: each follows from the one before, stays while it may be needed, and is read with distrust."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from central.trust.keys import (
    AHEAD,
    KEEP_AGE,
    KEY_AGE,
    LONGEST,
    MOST_BYTES,
    MOST_KEYS,
    following,
    read,
    renewed,
    ring_of,
    unrelated,
    written,
)
from central.trust.seal import Key, KeyRing, Ticket
from pilot.errors import PilotageError, Refusal

FIRST = Key("k1", b"a" * 32, 0.0)
STAMP = "ab" * 16


def next_ones(key: Key, count: int) -> list[Key]:
    """So many that follow from a key, it first."""
    keys = [key]
    for _ in range(count):
        keys.append(following(keys[-1]))
    return keys


def test_a_key_follows_from_the_one_before_and_not_back() -> None:
    """Whoever has a key makes the same next one, a month younger; neither its name nor it shows what it is made of."""
    one, other = following(FIRST), following(Key("k1", b"b" * 32, 0.0))
    assert one == following(FIRST)
    assert (one.made, len(one.secret)) == (KEY_AGE, 32)
    assert len({FIRST.secret, one.secret, other.secret}) == len({FIRST.id, one.id, other.id}) == 3
    assert unrelated(5.0).secret != unrelated(5.0).secret
    assert FIRST.secret.decode() not in repr(FIRST)


def test_a_ring_opens_what_is_sealed_under_keys_to_come_and_does_not_seal_with_them() -> None:
    """A central that started later may use them already: two years ahead, and no more."""
    ring, later = ring_of((FIRST,)), next_ones(FIRST, AHEAD + 1)
    assert ring.seal(Ticket(STAMP)).startswith("k1.")
    for key in later[:-1]:
        assert ring.open(Ticket, KeyRing((key,)).seal(Ticket(STAMP))) == Ticket(STAMP)
    with pytest.raises(Refusal, match="does not have"):
        ring.open(Ticket, KeyRing((later[-1],)).seal(Ticket(STAMP)))


@pytest.mark.parametrize(("months", "count"), [(0.0, 1), (0.99, 1), (1.0, 2), (3.5, 4)])
def test_a_new_key_comes_each_month(months: float, count: int) -> None:
    """Those of the months that nobody was there for as well."""
    assert renewed((FIRST,), months * KEY_AGE) == tuple(next_ones(FIRST, count - 1))


def test_a_key_goes_when_nothing_was_sealed_under_it_for_long() -> None:
    """Counted from when the next one came: until then it may have sealed."""
    keys = tuple(next_ones(FIRST, 13))
    assert renewed(keys, KEY_AGE + KEEP_AGE - 1)[0] == FIRST
    assert renewed(keys, KEY_AGE + KEEP_AGE)[0] == keys[1]


@pytest.mark.parametrize("months", [14.5, 15.0, 60.0, 60.3, 60.7])
def test_the_newest_of_before_stays_for_a_month_however_long_the_central_was_away(months: float) -> None:
    """Credentials are under it until one has served: whoever looks before or beside it leaves it there. Then it goes as
    the others, and with it nothing else."""
    now = months * KEY_AGE
    found = renewed((FIRST,), now)
    assert found[0] == FIRST
    assert KEY_AGE < found[1].made - (now - KEEP_AGE) <= 2 * KEY_AGE
    assert found[1:] == tuple(next_ones(found[1], len(found) - 2))
    assert renewed(found, now) == renewed(renewed(found, now + 60), now + 60) == found
    assert renewed(found, now + KEY_AGE)[0] == FIRST
    assert renewed(found, now + 2 * KEY_AGE)[0] == found[1]


def test_where_nobody_writes_them_down_all_that_follow_stay() -> None:
    """A central may have sealed under any of them. What was before the newest that is there goes as elsewhere."""
    older, now = Key("k0", b"o" * 32, -KEY_AGE), 60 * KEY_AGE
    assert renewed((older, FIRST), now, written=False) == tuple(next_ones(FIRST, 60))
    assert renewed((older, FIRST), KEY_AGE / 2, written=False) == (older, FIRST)


def test_after_ten_years_somebody_is_asked() -> None:
    """It bounds what is made in one go."""
    assert len(renewed((FIRST,), LONGEST - 1, written=False)) == 122
    for made in (0.0, -1e300):
        with pytest.raises(PilotageError, match=r"more than ten years old; `python -m central new-key` adds one"):
            renewed((Key("k1", b"a" * 32, made),), LONGEST)


def test_what_was_written_is_read() -> None:
    """From oldest to newest, however it was written."""
    keys = tuple(next_ones(FIRST, 3))
    assert read(written(keys), "here") == keys
    assert read(written(keys[::-1]), "here") == keys
    assert len(read(written([unrelated(float(made)) for made in range(MOST_KEYS)]), "here")) == MOST_KEYS


def stored(**changes: Any) -> dict[str, Any]:
    return {"id": "k1", "key": base64.b64encode(b"correct horse battery staple 123").decode(), "made": 1.0, **changes}


BAD = {
    "too long": (written((FIRST,)) + b" " * MOST_BYTES, f"expected at most {MOST_BYTES} bytes"),
    "no JSON": (b"correct horse", "cannot be read: expected"),
    "no text": (b"\xff\xfe", "cannot be read: expected"),
    "empty": (b"", "cannot be read: expected"),
    "deep": (b"[" * 50_000, "cannot be read: expected"),
    "another form": (json.dumps([stored()]).encode(), "cannot be read: expected"),
    **{
        name: (json.dumps({"keys": keys}).encode(), why)
        for name, keys, why in (
            ("none", [], f"expected 1 to {MOST_KEYS} keys, got 0"),
            ("too many", [stored(id=f"k{number}") for number in range(MOST_KEYS + 1)], f"got {MOST_KEYS + 1}"),
            ("more than it has", [stored(horse="battery")], "cannot be read: expected"),
            ("no time", [stored(made="horse")], "cannot be read: expected"),
            ("never", [stored(made=float("inf"))], "cannot be read: expected"),
            ("no name", [stored(id="")], "the id of key 1 is not"),
            ("a name of two", [stored(), stored(id="horse.battery")], "the id of key 2 is not"),
            ("a name with an end", [stored(id="k1\n")], "the id of key 1 is not"),
            ("no base64", [stored(key="correct horse!")], "key 1 is not base64"),
            ("no ASCII", [stored(key="hörse")], "key 1 is not base64"),
            ("short", [stored(key=base64.b64encode(b"correct horse").decode())], "key 1: expected 32 bytes, got 13"),
            ("one name twice", [stored(), stored(key=base64.b64encode(b"o" * 32).decode())], "two keys have one id"),
            ("one key twice", [stored(), stored(id="k2")], "one key is there twice"),
        )
    },
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_ring_is_a_sentence_that_shows_nothing_of_it(what: str) -> None:
    """Where it is and what is wrong; what stands there may be a key, also where a name is expected."""
    content, why = BAD[what]
    with pytest.raises(PilotageError, match=r"/ring\.json: the key ring cannot be") as caught:
        read(content, "/ring.json")
    assert why in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    for shown in ("orse", "attery", "Y29ycmVjdCBob3JzZS"):
        assert shown not in str(caught.value)
