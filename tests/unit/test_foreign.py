"""Whether a database is that of another key ring, by the newest link of its audit."""

from __future__ import annotations

import pytest

from central.auditing import Unlinked
from central.trust.chain import Seals
from central.trust.foreign import foreign
from central.trust.keys import KEEP_AGE
from central.trust.seal import Key
from pilot import audit
from pilot.audit import BEGINNING, AuditLink

KEY, OTHER = Key("k1", b"\x01" * 32, 0.0), Key("k2", b"\x02" * 32, 0.0)
NOW = 2 * KEEP_AGE


def found(key: Key | None, time: float = NOW) -> Unlinked:
    """A chain whose newest link is sealed under this key."""
    if key is None:
        return Unlinked(None, None, ())
    seal = Seals((key,)).seal(BEGINNING)
    return Unlinked(AuditLink(1, 1, 1, time, BEGINNING, BEGINNING, key.id, seal, ()), None, ())


@pytest.mark.parametrize(
    ("link", "others", "says"),
    [
        (found(None), False, ""),  # a new one
        (found(KEY), False, ""),
        (found(KEY), True, ""),  # some credentials are lost; their owners are told one by one
        (found(OTHER), False, "the newest link of its audit is under the key k2"),
        (found(OTHER), True, "the newest link of its audit is under the key k2"),
        (found(None), True, "it has credentials"),
        (found(OTHER, NOW - KEEP_AGE), False, ""),  # nothing was noted for so long that the key has left the ring
        (found(OTHER, NOW - KEEP_AGE), True, "it has credentials"),
    ],
)
def test_the_newest_link_tells(link: Unlinked, others: bool, says: str) -> None:
    """Of a database that has none, the credentials."""
    assert foreign(link, Seals((KEY,)), others, NOW).startswith(says)
    assert bool(foreign(link, Seals((KEY,)), others, NOW)) == bool(says)


def test_a_forged_seal_is_not_another_ring() -> None:
    """A link under a known key with a bad seal is for the audit to tell; the central starts."""
    link = AuditLink(1, 1, 1, NOW, BEGINNING, BEGINNING, "k1", audit.seal(b"x" * 32, BEGINNING), ())
    assert foreign(Unlinked(link, None, ()), Seals((KEY,)), False, NOW) == ""
