"""Secrets under authenticated encryption."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import pytest

from central.records import CredentialRow
from central.trust.keys import following
from central.trust.seal import Key, KeyRing
from central.trust.vault import STEP, Unopened, Vault, reseal_old

FIRST = Key("k1", bytes(range(32)), 0.0)
SECOND = following(FIRST)
ROW = CredentialRow("atlas", "ada", "grid", "basic", ("https://store.example/a/",), 1.5, "", b"")
VALUES = {"user": "ada", "password": "correct horse"}


def test_what_was_sealed_is_opened() -> None:
    """The same values come out that went in, under the newest key, and the sealed bytes show none of them."""
    vault = Vault([FIRST, SECOND])
    sealed = vault.seal(ROW, VALUES)
    assert sealed.key_id == SECOND.id
    assert vault.open(sealed) == VALUES
    assert b"ada" not in sealed.sealed
    assert b"horse" not in sealed.sealed
    assert vault.seal(ROW, VALUES).sealed != sealed.sealed  # no two are alike


@pytest.mark.parametrize(
    "change",
    [
        {"community": "lhcb"},
        {"owner": "eve"},
        {"name": "other"},
        {"kind": "bearer"},
        {"urls": ("https://evil.example/",)},
        {"expires": None},
    ],
)
def test_a_row_that_was_changed_opens_no_more(change: dict[str, object]) -> None:
    """Everything beside the secret is authenticated with it: owner, name, kind, URLs, expiry."""
    vault = Vault([FIRST])
    sealed = vault.seal(ROW, VALUES)
    with pytest.raises(Unopened):
        vault.open(replace(sealed, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize("damage", [b"", b"short", b"x" * 60])
def test_damaged_bytes_are_not_opened(damage: bytes) -> None:
    """Bytes that no key sealed are told, whatever they are, and the sentence names the credential."""
    sealed = Vault([FIRST]).seal(ROW, VALUES)
    with pytest.raises(Unopened, match="grid of ada"):
        Vault([FIRST]).open(replace(sealed, sealed=damage))


def test_an_older_key_still_opens_and_a_missing_one_is_named() -> None:
    """A secret outlives the arrival of new keys; without its key the error says so."""
    old = Vault([FIRST]).seal(ROW, VALUES)
    assert Vault([FIRST, SECOND]).open(old) == VALUES
    with pytest.raises(Unopened, match="under a key that this central does not have"):
        Vault([SECOND]).open(old)


def test_a_key_to_come_opens() -> None:
    """What another central sealed, which was started later, is opened."""
    later = Vault([FIRST, SECOND]).seal(ROW, VALUES)
    assert Vault([FIRST], [SECOND]).open(later) == VALUES


def test_the_ring_itself_opens_nothing_of_the_vault() -> None:
    """Tokens and secrets are sealed with different keys, though both come from one ring."""
    sealed = Vault.of(KeyRing((FIRST,))).seal(ROW, VALUES)
    with pytest.raises(Unopened):
        Vault([Key("k1", b"\1" * 32, 0.0)]).open(sealed)
    assert Vault([FIRST]).open(sealed) == VALUES


class Rows:
    """The part of a store that is about old keys."""

    def __init__(self, *rows: CredentialRow) -> None:
        self.rows = {row.name: row for row in rows}

    async def credentials_under_others(self, keys: Sequence[str], limit: int) -> tuple[CredentialRow, ...]:
        return tuple(row for row in self.rows.values() if row.key_id not in keys)[:limit]

    async def reseal_credential(self, old: CredentialRow, key_id: str, sealed: bytes) -> bool:
        if self.rows[old.name] != old:
            return False
        self.rows[old.name] = replace(old, key_id=key_id, sealed=sealed)
        return True


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_old_secrets_come_under_the_newest_key(caplog: pytest.LogCaptureFixture) -> None:
    """All that can be opened is sealed anew, what is under a key to come is left, and what cannot be opened is told."""
    third = following(SECOND)
    old, new = Vault([FIRST]), Vault([FIRST, SECOND], [third])
    rows = [old.seal(replace(ROW, name=f"c{number:03}"), VALUES) for number in range(150)]
    lost = replace(rows[0], name="lost")
    coming = Vault([SECOND, third]).seal(replace(ROW, name="coming"), VALUES)
    store = Rows(*rows, lost, coming)
    with caplog.at_level(logging.ERROR):
        assert await reseal_old(store, new, set()) == 150  # type: ignore[arg-type]
    assert "lost of ada" in caplog.text
    assert "horse" not in caplog.text
    assert store.rows["lost"] == lost
    assert store.rows["coming"] == coming
    assert all(new.open(store.rows[row.name]) == VALUES for row in rows)
    assert {store.rows[row.name].key_id for row in rows} == {SECOND.id}


@pytest.mark.anyio
async def test_what_cannot_be_opened_is_told_once_and_keeps_nothing_waiting(caplog: pytest.LogCaptureFixture) -> None:
    """However many cannot be: the look after that passes them over, says no more, and finds what is behind them."""
    old, new = Vault([FIRST]), Vault([FIRST, SECOND])
    rows = [old.seal(replace(ROW, name=f"lost{number:03}", owner="bob"), VALUES) for number in range(STEP)]
    store = Rows(*(replace(row, owner="ada") for row in rows), good := old.seal(ROW, VALUES))
    lost: set[bytes] = set()
    with caplog.at_level(logging.ERROR):
        done = [await reseal_old(store, new, lost) for _ in range(3)]  # type: ignore[arg-type]
    assert done == [0, 1, 0]
    assert new.open(store.rows[good.name]) == VALUES
    assert len(caplog.records) == STEP
