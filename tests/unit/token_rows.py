"""Rows of API tokens as the store has them."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from central.people import TokenRow


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def token_row(number: int = 1, **changes: object) -> TokenRow:
    """One of ben's, a group-admin of muons."""
    usual = TokenRow(
        id=number,
        sha256=digest(str(number)),
        name="",
        user="ben",
        community="physics",
        group="muons",
        role="group-admin",
        scopes=("read",),
        who="cam",
        parent=None,
        created=200.0,
        expires=1000.0,
    )
    return replace(usual, **changes)  # type: ignore[arg-type]
