"""Which jobs a request may be about, and where a page begins: bounds that every store keeps."""

from __future__ import annotations

from collections.abc import Sequence

from pilot.errors import Refusal
from pilot.views import Selection

#: Jobs that one bulk request may be about.
MAX_SELECTED = 100_000
#: Above every id.
END = 2**63 - 1


def before_cursor(cursor: str | None) -> int:
    """The id below which a page begins. Raises ``invalid``."""
    if cursor is None:
        return END
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise Refusal("invalid", f"cursor: expected `next` of the page before, got {cursor[:40]!r}")
    return int(cursor)


def looks_at_rows(selection: Selection) -> bool:
    """Whether a selection asks for more than an index knows of a job."""
    asked = (selection.group, selection.name, selection.site, selection.queue, selection.submitted_since)
    return any(one is not None for one in asked)


def check_selection(selection: Selection) -> None:
    """Raises ``invalid`` for a selection of everything, and ``too-large``."""
    if selection == Selection():
        raise Refusal(
            "invalid",
            "An empty selection would mean every job: name ids, states, an owner, a group, a name, a site, a queue or"
            " since when they were submitted.",
        )
    check_selected(selection.ids)


def check_selected(ids: Sequence[int]) -> None:
    """Raises ``too-large``."""
    if len(ids) > MAX_SELECTED:
        raise Refusal(
            "too-large",
            f"The selection means more than {MAX_SELECTED:,} jobs: narrow it, by state or name, and repeat.",
            expected=str(MAX_SELECTED),
            got=str(len(ids)),
        )
