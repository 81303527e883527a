"""Bundles that communities have published, and which of them are in use."""

from __future__ import annotations

import sqlite3

from central.records import BundleRow, PinRow

ADD = """
    INSERT INTO bundles (community, name, sha256, size, manifest, who, created)
    VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
ALL = """
    SELECT community, name, sha256, size, manifest, who, created FROM bundles
    WHERE community = coalesce(?, community) ORDER BY community, name, created, sha256
"""
KNOWN = "SELECT EXISTS (SELECT 1 FROM bundles WHERE sha256 = ?)"
# The same again is no news.
PIN = """
    INSERT INTO pins (community, name, sha256, who, created)
    SELECT :community, :name, :sha256, :who, :now
    WHERE :sha256 IS NOT (
        SELECT sha256 FROM pins WHERE community = :community AND name = :name ORDER BY id DESC LIMIT 1
    )
"""
PINS = """
    SELECT community, name, sha256, who, created FROM pins
    WHERE community = coalesce(?, community) ORDER BY id
"""


def add(db: sqlite3.Connection, now: float, bundle: BundleRow) -> None:
    db.execute(ADD, (bundle.community, bundle.name, bundle.sha256, bundle.size, bundle.manifest, bundle.who, now))


def bundles(db: sqlite3.Connection, community: str | None) -> tuple[BundleRow, ...]:
    return tuple(BundleRow(*found) for found in db.execute(ALL, (community,)))


def known(db: sqlite3.Connection, sha256: str) -> bool:
    return bool(db.execute(KNOWN, (sha256,)).fetchone()[0])


def pin(db: sqlite3.Connection, now: float, community: str, name: str, sha256: str, who: str) -> None:
    db.execute(PIN, {"community": community, "name": name, "sha256": sha256, "who": who, "now": now})


def pins(db: sqlite3.Connection, community: str | None) -> tuple[PinRow, ...]:
    return tuple(PinRow(*found) for found in db.execute(PINS, (community,)))
