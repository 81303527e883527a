"""Tokens of every kind that are not as the central made them: expired, cut, changed, sealed by somebody else."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from central.configuration.settings import ApiToken
from central.records import Identity
from central.trust.callers import Callers, Nonces
from central.trust.people import People
from central.trust.rules import PayloadCaller, PilotCaller, TicketCaller, Who, admit
from central.trust.seal import JobToken, Key, KeyRing, Payload, PilotToken, Ticket
from pilot import signatures
from pilot.errors import Refusal

NOW = 1_000_000.0
STAMP = "ab" * 16
SESSION = b"k" * 32
OWN = KeyRing((Key("k1", b"o" * 32, 0.0), Key("k2", b"n" * 32, 1.0)))
#: Whoever has no key of the ring may still name one.
FORGED = KeyRing((Key("k2", b"another key, which is 32 bytes..", 1.0),))
USER = "pilotage_" + "a" * 43
PEOPLE = People((ApiToken("t", hashlib.sha256(USER.encode()).hexdigest(), Identity("ann", "physics", "muons", "m")),))
SEALED: dict[str, Payload] = {
    "Pilot": PilotToken(STAMP, 1, SESSION, NOW - 10, NOW + 3600),
    "Job": JobToken(7, 1, STAMP, "physics", NOW + 3600),
    "Ticket": Ticket(STAMP),
}
KINDS = {"Pilot": PilotCaller, "Job": PayloadCaller, "Ticket": TicketCaller}
some_scheme = st.sampled_from(sorted(SEALED))
some_time = st.floats(0, 10 * 365 * 86400.0, allow_nan=False)


def callers(now: float = NOW) -> Callers:
    return Callers(OWN, PEOPLE, Nonces(), lambda: now)


def refused(authorization: str, now: float = NOW) -> str:
    with pytest.raises(Refusal) as caught:
        callers(now).claimed(authorization)
    return caught.value.type


def unpacked(text: str) -> tuple[str, bytes]:
    name, _, sealed = text.partition(".")
    return name, base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))


def packed(name: str, raw: bytes) -> str:
    return f"{name}.{base64.urlsafe_b64encode(raw).decode().rstrip('=')}"


@given(some_scheme, st.data())
def test_one_bit_is_enough(scheme: str, data: st.DataObject) -> None:
    """A token of which any one bit was changed opens nothing."""
    name, raw = unpacked(OWN.seal(SEALED[scheme]))
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    changed = bytearray(raw)
    changed[bit // 8] ^= 1 << bit % 8
    assert refused(f"{scheme} {packed(name, bytes(changed))}") == "unauthorized"


@given(some_scheme, st.data())
def test_a_cut_token_opens_nothing(scheme: str, data: st.DataObject) -> None:
    """Nor does one that lacks its beginning, its end, or something in between, or that has more than it had."""
    text = OWN.seal(SEALED[scheme])
    begin = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(begin + 1, len(text)))
    more = data.draw(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=4, max_size=40))
    for changed in (text[:begin] + text[end:], text + more, more + text):
        assert refused(f"{scheme} {changed}") == "unauthorized"


@given(some_scheme)
def test_a_swapped_key_opens_nothing(scheme: str) -> None:
    """What somebody seals with a key of their own, under the name of one of the ring's, is nothing; and so is what the
    ring has sealed with one key under the name of another."""
    assert refused(f"{scheme} {FORGED.seal(SEALED[scheme])}") == "unauthorized"
    _, raw = unpacked(OWN.seal(SEALED[scheme]))
    for name in ("k1", "k3", "", "k2\0", "none", "K2"):
        assert refused(f"{scheme} {packed(name, raw)}") == "unauthorized"


@given(some_scheme, some_scheme)
def test_one_kind_passes_for_no_other(scheme: str, other: str) -> None:
    """A token under another kind's scheme is nothing, whether it was seen before or not."""
    text, known = OWN.seal(SEALED[other]), callers()
    for _ in range(2):
        if scheme == other:
            assert isinstance(known.claimed(f"{scheme} {text}"), KINDS[scheme])
        else:
            with pytest.raises(Refusal, match="token"):
                known.claimed(f"{scheme} {text}")
        known.claimed(f"{other} {text}")


@given(some_time)
def test_no_plain_token_is_taken(expires: float) -> None:
    """A token that nobody sealed, as if there were a way to say "no encryption", is nothing."""
    token = PilotToken(STAMP, 1, SESSION, NOW, expires)
    for raw in (repr(token).encode(), b'["pilot","' + STAMP.encode() + b'"]', b"{}", b""):
        for name in ("k2", "none", ""):
            assert refused(f"Pilot {packed(name, raw)}") == "unauthorized"


@given(some_time)
def test_after_its_end_a_token_opens_nothing(later: float) -> None:
    """A payload's token is refused from its end on; a pilot's is then good for renewal and late words alone."""
    job = JobToken(7, 1, STAMP, "physics", NOW)
    assert refused(f"Job {OWN.seal(job)}", NOW + later + 0.001) == "unauthorized"
    aged = callers(NOW + later + 0.001).claimed(f"Pilot {OWN.seal(PilotToken(STAMP, 1, SESSION, 0.0, NOW))}")
    assert isinstance(aged, PilotCaller)
    with pytest.raises(Refusal) as caught:
        admit((Who.PILOT,), aged)
    assert caught.value.type == "token-expired"


@given(some_time)
def test_after_its_pilots_end_nothing_is_heard(later: float) -> None:
    """Signed as well as ever, a pilot's word counts for nothing once the time for late words is over."""
    now = NOW + later + 0.001
    caller = PilotCaller(PilotToken(STAMP, 1, SESSION, 0.0, 1.0, NOW), True)
    made = signatures.sign(SESSION, "POST", "/x", b"{}", "Pilot t", keyid=STAMP, created=int(now), nonce="n0nce-n0nce")
    with pytest.raises(Refusal) as caught:
        callers(now).verify(caller, STAMP, "POST", "/x", b"{}", {name.lower(): value for name, value in made.items()})
    assert caught.value.type == "revoked"


@given(st.integers(0, len(USER) - 1), st.characters(codec="ascii"))
def test_a_person_s_token_is_whole_or_nothing(at: int, letter: str) -> None:
    """A person's token with one letter changed, left out or added is nobody's."""
    for changed in (USER[:at] + letter + USER[at + 1 :], USER[:at] + USER[at + 1 :], USER[:at] + letter + USER[at:]):
        if changed != USER:
            assert refused(f"Bearer {changed}") == "unauthorized"


@given(st.text(max_size=300))
def test_no_authorization_breaks_anything(text: str) -> None:
    """Whatever stands there is refused as nobody's, and never a fault."""
    if text:
        for authorization in (text, *(f"{scheme} {text}" for scheme in ("Pilot", "Job", "Ticket", "Bearer"))):
            assert refused(authorization) == "unauthorized"


@given(st.dictionaries(st.sampled_from(("signature", "signature-input", "content-digest")), st.text(max_size=200)))
def test_no_signature_breaks_anything(headers: dict[str, str]) -> None:
    """Whatever the headers of a signature say, it is a bad one, and never a fault."""
    caller = PilotCaller(PilotToken(STAMP, 1, SESSION, NOW, NOW + 60), False)
    with pytest.raises(Refusal) as caught:
        callers().verify(caller, STAMP, "POST", "/x", b"{}", {"authorization": "Pilot t", **headers})
    assert caught.value.type == "bad-signature"
