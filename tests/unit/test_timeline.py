"""The steps of a pilot as people see them."""

from __future__ import annotations

from pilot.views import StepView
from pilotage.timeline import WIDTH, bar, last_lines, steps_table

STEPS = (
    StepView(1, "check_node", "ok", 1.0, began=0.0),
    StepView(2, "theirs:go", "failed", 5.0, "no licence", "one\ntwo", began=5.0),
    StepView(3, "run_jobs", "skipped", 0.0, "an earlier command failed"),
    StepView(4, "clean_up", "ok", 0.0, began=10.0),
)


def test_steps_are_bars_on_one_line_of_time() -> None:
    """Each bar begins and ends where its step did; the shortest is a mark, and what was skipped has none."""
    bars = [row[5] for row in steps_table(STEPS).rows]
    assert bars == ["█" * 3 + "·" * 27, "·" * 15 + "█" * 15, "", "·" * 29 + "█"]
    assert all(len(one) in (0, WIDTH) for one in bars)


def test_one_that_runs_reaches_up_to_now() -> None:
    """Of a pilot that lives the line ends now, and so does what runs."""
    step = StepView(1, "run_jobs", None, 0.0, began=10.0)
    (row,) = steps_table([step], age=20.0).rows
    assert (row[2], row[4], row[5]) == ("running", "10s", "·" * 15 + "░" * 15)


def test_what_a_pilot_did_not_say_is_no_bar() -> None:
    """Steps of an older pilot have no beginning."""
    assert bar(StepView(1, "check_node", "ok", 1.0), 10.0) == ""


def test_the_last_words_of_a_failed_step_are_shown() -> None:
    """They stand under its name, and those of others do not."""
    assert last_lines(STEPS) == ["last lines of step 2, theirs:go:", "  one", "  two"]
