"""How the shares stand, in figures for people."""

from __future__ import annotations

import pytest

from central.configuration.settings import Community, Group
from central.matching.share_views import standing
from central.records import Consumed

PHYSICS = Community("physics", 3.0, (Group("muons", 2.0), Group("tau", 1.0), Group("idle", 1.0)))
BIOLOGY = Community("biology", 1.0, (Group("cells"),))


def test_what_is_due_and_what_was_used_come_level_by_level() -> None:
    """Parents come before children; what children are due and have used adds up to their parent's."""
    views = standing(
        [PHYSICS, BIOLOGY],
        [
            Consumed("physics", "muons", "ann", 300.0, 4),
            Consumed("physics", "muons", "ben", 100.0, 0),
            Consumed("physics", "tau", "eve", 100.0, 2),
            Consumed("biology", "cells", "dan", 500.0, 1),
        ],
    )
    found = {(view.community, view.group, view.owner): view for view in views}
    assert list(found)[:4] == [
        ("biology", "", ""),
        ("biology", "cells", ""),
        ("biology", "cells", "dan"),
        ("physics", "", ""),
    ]
    physics, muons = found["physics", "", ""], found["physics", "muons", ""]
    assert (physics.share, physics.due, physics.used, physics.part, physics.cores) == (3.0, 0.75, 500.0, 0.5, 6)
    assert (muons.share, muons.due, muons.used, muons.part, muons.cores) == (2.0, 0.375, 400.0, 0.4, 4)
    assert found["physics", "muons", "ben"].due == 0.1875
    assert (found["physics", "idle", ""].due, found["physics", "idle", ""].used) == (0.1875, 0.0)
    for level in ("community", "group"):
        top = [view for view in views if not view.owner and bool(view.group) == (level == "group")]
        assert sum(view.due for view in top) == pytest.approx(1.0)
        assert sum(view.part for view in top) == pytest.approx(1.0)


def test_whoever_is_in_no_settings_any_more_is_shown_with_what_it_used() -> None:
    """A community or a group that was taken out of the settings has a share of one, as in the match."""
    views = standing([BIOLOGY], [Consumed("gone", "old", "zed", 10.0, 0), Consumed("biology", "new", "dan", 30.0, 0)])
    found = {(view.community, view.group, view.owner): (view.share, view.due, view.part) for view in views}
    assert found["gone", "old", "zed"] == (1.0, 0.5, 0.25)
    assert found["biology", "new", ""] == (1.0, 0.25, 0.75)
    assert found["biology", "cells", ""] == (1.0, 0.25, 0.0)


def test_nobody_has_used_anything() -> None:
    """Before the first job there are shares, and no use to divide."""
    assert [(view.group, view.part) for view in standing([BIOLOGY], [])] == [("", 0.0), ("cells", 0.0)]
    assert standing([], []) == ()
