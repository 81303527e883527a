"""What somebody may try who has seen what a pilot sends, and has a pilot of their own: messages that it never sent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from pilot import protocol, signatures
from tests.integration.wire_pilot import SignedPilot
from tests.security.scenes import Proof, Scene, Words

#: Seconds by which a time is too far off.
OFF = signatures.MAX_AGE + 5
Lines = Collection[tuple[str, str]]


@dataclass(frozen=True)
class Forged:
    """What is sent, and the lines of its head."""

    words: Words
    lines: Lines


def of(words: Words, headers: Mapping[str, str]) -> Forged:
    return Forged(words, tuple(headers.items()))


def proved(scene: Scene, words: Words) -> dict[str, str]:
    """As the pilot itself proves it."""
    return scene.proved(Proof.SIGNATURE, words)


def by(scene: Scene, words: Words, *, key: bytes = b"", skew: float = 0.0) -> dict[str, str]:
    """As it would, with another key or another clock."""
    pilot = scene.pilot
    own = pilot.key, pilot.skew
    pilot.key, pilot.skew = key or pilot.key, skew
    try:
        return proved(scene, words)
    finally:
        pilot.key, pilot.skew = own


# -- somebody else's key or token -----------------------------------------------------------------------------------
def another_key(scene: Scene, thief: SignedPilot, words: Words) -> Forged:
    return of(words, by(scene, words, key=thief.key))


def another_token(scene: Scene, thief: SignedPilot, words: Words) -> Forged:
    """The pilot's signature, with the thief's token."""
    return of(words, {**proved(scene, words), "Authorization": f"{protocol.PILOT_SCHEME} {thief.token}"})


def in_its_own_name(scene: Scene, thief: SignedPilot, words: Words) -> Forged:
    """All is the thief's own, but what it speaks of."""
    return of(words, proved(Scene(scene.central, scene.cast, thief), words))


# -- something else under the same signature --------------------------------------------------------------------------
def another_body(scene: Scene, thief: SignedPilot, words: Words) -> Forged:
    return of(replace(words, body=words.body + b" "), proved(scene, words))


def another_body_with_its_digest(scene: Scene, thief: SignedPilot, words: Words) -> Forged:
    body = words.body + b" "
    return of(replace(words, body=body), {**proved(scene, words), "Content-Digest": signatures.content_digest(body)})


def another_digest(scene: Scene, thief: SignedPilot, words: Words) -> Forged:
    return of(words, {**proved(scene, words), "Content-Digest": signatures.content_digest(b"other")})


def another_path(scene: Scene, thief: SignedPilot, words: Words) -> Forged:
    """A signature for what the pilot may well ask of another route."""
    return of(words, proved(scene, replace(words, path=f"/v1/pilots/{scene.pilot.stamp}/other")))


def another_method(scene: Scene, thief: SignedPilot, words: Words) -> Forged:
    return of(words, proved(scene, replace(words, method="PATCH")))


def another_query(scene: Scene, thief: SignedPilot, words: Words) -> Forged:
    more = "&last=1" if "?" in words.path else "?last=1"
    return of(replace(words, path=words.path + more), proved(scene, words))


def another_spelling(scene: Scene, thief: SignedPilot, words: Words) -> Forged:
    """The same path, written in another way."""
    return of(replace(words, path=words.path.replace("/v1/", "/%761/", 1)), proved(scene, words))


def another_nonce(scene: Scene, thief: SignedPilot, words: Words) -> Forged:
    headers = proved(scene, words)
    headers["Signature-Input"] = headers["Signature-Input"].replace(';nonce="', ';nonce="x')
    return of(words, headers)


def made_younger(scene: Scene, thief: SignedPilot, words: Words) -> Forged:
    """An old signature, under a time that would be good."""
    old, new = by(scene, words, skew=-OFF), proved(scene, words)
    return of(words, {**old, "Signature-Input": new["Signature-Input"]})


# -- less, or more, than a signature ----------------------------------------------------------------------------------
def lacking(*names: str) -> Callable[[Scene, SignedPilot, Words], Forged]:
    """Without these headers."""

    def forge(scene: Scene, thief: SignedPilot, words: Words) -> Forged:
        return of(words, {name: value for name, value in proved(scene, words).items() if name not in names})

    return forge


def less_is_covered(scene: Scene, thief: SignedPilot, words: Words) -> Forged:
    headers = proved(scene, words)
    headers["Signature-Input"] = headers["Signature-Input"].replace(' "content-digest"', "")
    return of(words, headers)


def two_labels(scene: Scene, thief: SignedPilot, words: Words) -> Forged:
    """Another signature beside it, in the same lines."""
    own, other = proved(scene, words), proved(Scene(scene.central, scene.cast, thief), words)
    for name in ("Signature", "Signature-Input"):
        own[name] += f", other={other[name].partition('=')[2]}"
    return of(words, own)


def doubled(*names: str, last: bool) -> Callable[[Scene, SignedPilot, Words], Forged]:
    """The thief's own lines of these names before the pilot's, or after them."""

    def forge(scene: Scene, thief: SignedPilot, words: Words) -> Forged:
        good = tuple(proved(scene, words).items())
        own = proved(Scene(scene.central, scene.cast, thief), words)
        more = tuple((name, own[name]) for name in names)
        return Forged(words, (*good, *more) if last else (*more, *good))

    return forge


def at(skew: float) -> Callable[[Scene, SignedPilot, Words], Forged]:
    """Signed by the pilot itself, by a clock that is so far off."""

    def forge(scene: Scene, thief: SignedPilot, words: Words) -> Forged:
        return of(words, by(scene, words, skew=skew))

    return forge


def in_a_scheme(scheme: str) -> Callable[[Scene, SignedPilot, Words], Forged]:
    """The pilot's token, shown as something else."""

    def forge(scene: Scene, thief: SignedPilot, words: Words) -> Forged:
        return of(words, {**proved(scene, words), "Authorization": f"{scheme} {scene.pilot.token}"})

    return forge


BAD, SKEWED, UNKNOWN = {"bad-signature"}, {"clock-skew"}, {"unauthorized"}
#: What may be tried, and the refusals of it. With two tokens it is nobody that is known.
FORGERIES: Mapping[str, tuple[Callable[[Scene, SignedPilot, Words], Forged], set[str]]] = {
    "another key": (another_key, BAD),
    "another token": (another_token, BAD),
    "in its own name": (in_its_own_name, {"forbidden", "not-yours"}),
    "another body": (another_body, BAD),
    "another body with its digest": (another_body_with_its_digest, BAD),
    "another digest": (another_digest, BAD),
    "another path": (another_path, BAD),
    "another method": (another_method, BAD),
    "another query": (another_query, BAD),
    "another spelling": (another_spelling, {*BAD, "not-found"}),
    "another nonce": (another_nonce, BAD),
    "an old signature made younger": (made_younger, BAD),
    "no signature": (lacking("Signature", "Signature-Input"), BAD),
    "no signature but its parameters": (lacking("Signature"), BAD),
    "no parameters": (lacking("Signature-Input"), BAD),
    "no digest": (lacking("Content-Digest"), BAD),
    "no token": (lacking("Authorization"), UNKNOWN),
    "a signature over less": (less_is_covered, BAD),
    "two signatures in a line": (two_labels, BAD),
    "two signatures, its own first": (doubled("Signature", "Signature-Input", last=True), BAD),
    "two signatures, its own last": (doubled("Signature", "Signature-Input", last=False), BAD),
    "two digests": (doubled("Content-Digest", last=True), BAD),
    "two tokens, its own first": (doubled("Authorization", last=True), UNKNOWN),
    "two tokens, its own last": (doubled("Authorization", last=False), UNKNOWN),
    "all twice": (doubled("Authorization", "Content-Digest", "Signature", "Signature-Input", last=True), UNKNOWN),
    "too old": (at(-OFF), SKEWED),
    "too new": (at(OFF), SKEWED),
    "as a payload's token": (in_a_scheme(protocol.JOB_SCHEME), UNKNOWN),
    "as a ticket": (in_a_scheme(protocol.TICKET_SCHEME), UNKNOWN),
    "as a person's token": (in_a_scheme(protocol.USER_SCHEME), UNKNOWN),
}
