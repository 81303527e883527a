"""What should be gone from a computing element and is not."""

from __future__ import annotations

from central.directors.removals import STUCK, Removals


def test_what_goes_in_time_is_no_alarm() -> None:
    """A removal that is asked for again and again and then done is never told of."""
    removals = Removals()
    removals.turn(["m1"], 9, 0.0)
    removals.turn(["m1"], 9, STUCK)
    assert removals.overdue(STUCK) == ""
    removals.listed([])
    removals.turn(["m1"], 9, 2 * STUCK)
    assert removals.overdue(2 * STUCK + 1) == ""


def test_what_does_not_go_is_an_alarm_with_the_words_of_its_computing_element() -> None:
    """After some minutes the oldest is named, how many others there are, and what was said of it."""
    removals = Removals()
    removals.turn(["m1"], 9, 0.0)
    removals.turn(["m2", "m3"], 9, 10.0)
    removals.refused("m1", "409: it is\nlocked")
    removals.refused("m9", "never asked for")
    removals.listed(["m1", "m2", "m3"])
    told = removals.overdue(STUCK + 20)
    assert told.startswith("m1 and 2 others should be gone for 10m")
    assert told.endswith(": 409: it is locked")


def test_a_removal_that_is_taken_and_ignored_is_told_as_such() -> None:
    """A refusal that is not repeated does not stay; one who says yes and does nothing is told of too."""
    removals = Removals()
    removals.turn(["m1"], 9, 0.0)
    removals.refused("m1", "busy")
    removals.turn(["m1"], 9, 5.0)
    assert removals.overdue(STUCK + 1).endswith("still has it, though it did not say no")


def test_what_does_not_go_is_in_nobodys_way() -> None:
    """Of more than can be asked for in a turn everything has its turn, however much of it stays."""
    removals, all_of_them = Removals(), [f"m{number}" for number in range(7)]
    asked = [removals.turn(all_of_them, 3, float(turn)) for turn in range(3)]
    assert asked == [["m0", "m1", "m2"], ["m3", "m4", "m5"], ["m6", "m0", "m1"]]
    assert removals.turn([*all_of_them, "new", "new"], 2, 4.0) == ["new", "m2"]
