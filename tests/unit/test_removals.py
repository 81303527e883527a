"""What should be gone from a computing element and is not."""

from __future__ import annotations

from central.directors.removals import STUCK, Removals


def test_what_goes_in_time_is_no_alarm() -> None:
    """A removal that is asked for again and again and then done is never told of."""
    removals = Removals()
    removals.asked(["m1"], 0.0)
    removals.asked(["m1"], STUCK)
    assert removals.overdue(STUCK) == ""
    removals.listed([])
    removals.asked(["m1"], 2 * STUCK)
    assert removals.overdue(2 * STUCK + 1) == ""


def test_what_does_not_go_is_an_alarm_with_the_words_of_its_computing_element() -> None:
    """After some minutes the oldest is named, how many others there are, and what was said of it."""
    removals = Removals()
    removals.asked(["m1"], 0.0)
    removals.asked(["m2", "m3"], 10.0)
    removals.refused("m1", "409: it is\nlocked")
    removals.refused("m9", "never asked for")
    removals.listed(["m1", "m2", "m3"])
    told = removals.overdue(STUCK + 20)
    assert told.startswith("m1 and 2 others should be gone for 10m")
    assert told.endswith(": 409: it is locked")


def test_a_removal_that_is_taken_and_ignored_is_told_as_such() -> None:
    """A refusal that is not repeated does not stay; one who says yes and does nothing is told of too."""
    removals = Removals()
    removals.asked(["m1"], 0.0)
    removals.refused("m1", "busy")
    removals.asked(["m1"], 5.0)
    assert removals.overdue(STUCK + 1).endswith("still has it, though it did not say no")
