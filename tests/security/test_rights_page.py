"""docs/rights.md, which says who can do what and what was tried."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from central.routes import EVERY_ROUTE
from central.serving.rights import page, table
from pilot.errors import PilotageError

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "rights.md"


def test_the_table_is_what_the_routes_declare() -> None:
    """The page has every route with its rule; when it has not: `python -m central rights docs/rights.md`."""
    text = PAGE.read_text()
    assert page(text, EVERY_ROUTE) == text
    assert len(table(EVERY_ROUTE).splitlines()) == len(EVERY_ROUTE) + 2


def test_a_page_without_a_place_is_left_alone() -> None:
    """A page that says nowhere that a table is to be is refused."""
    with pytest.raises(PilotageError, match="expected a page"):
        page("# Another page\n", EVERY_ROUTE)


def test_every_test_that_it_names_is_there() -> None:
    """What the page says is tried somewhere is tried there, and no attack of this folder is left out."""
    named = set(re.findall(r"`((?:security|unit|contract|integration)/test_\w+\.py)`", PAGE.read_text()))
    assert {name for name in named if not (TESTS / name).exists()} == set()
    here = {f"security/{path.name}" for path in Path(__file__).parent.glob("test_*.py")}
    assert here - named <= {"security/test_rights_page.py"}


def test_every_attack_is_tried_somewhere() -> None:
    """Each row of the last table names a test."""
    rows = [row for row in PAGE.read_text().partition("## What is tried")[2].splitlines() if row.startswith("| ")][1:]
    assert len(rows) > 20
    assert [row for row in rows if not re.search(r"`\w+/test_\w+\.py`", row)] == []
