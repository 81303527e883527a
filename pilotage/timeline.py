"""The steps of a pilot as a small timeline, and the last lines of those that went wrong."""

from __future__ import annotations

from collections.abc import Sequence

from pilot.views import StepView
from pilotage import words
from pilotage.screen import Table

#: Characters of the timeline.
WIDTH = 30
#: Lines shown of a step that failed.
LINES = 10
_DONE, _RUNS, _NOTHING = "█", "░", "·"


def steps_table(steps: Sequence[StepView], age: float | None = None) -> Table:
    """A row for each command of a pilot's pipeline. `age`: seconds since its start, while it lives."""
    span = max([age or 0.0, *((step.began or 0.0) + step.seconds for step in steps)])
    rows = [
        (
            str(step.number),
            step.command,
            step.outcome or "running",
            "" if step.began is None else words.seconds(step.began),
            words.seconds(_took(step, age)),
            bar(step, span, age),
            step.message,
        )
        for step in steps
    ]
    columns = ("STEP", "COMMAND", "OUTCOME", "BEGAN", "TOOK", "TIMELINE", "NOTE")
    return Table(columns, rows, right=("STEP", "BEGAN", "TOOK"))


def bar(step: StepView, span: float, age: float | None = None) -> str:
    """When a step ran, on a line of WIDTH characters for all of `span` seconds; empty where that is unknown."""
    if step.began is None or span <= 0 or step.outcome == "skipped":
        return ""
    first = min(WIDTH - 1, int(step.began / span * WIDTH))
    last = min(WIDTH, max(first + 1, round((step.began + _took(step, age)) / span * WIDTH)))
    mark = _DONE if step.outcome else _RUNS
    return _NOTHING * first + mark * (last - first) + _NOTHING * (WIDTH - last)


def last_lines(steps: Sequence[StepView]) -> list[str]:
    """What steps that failed or took too long said last, each under its name."""
    found: list[str] = []
    for step in steps:
        if step.outcome in ("failed", "timeout") and step.tail:
            found.append(f"last lines of step {step.number}, {step.command}:")
            found += [f"  {line}" for line in step.tail.splitlines()[-LINES:]]
    return found


def _took(step: StepView, age: float | None) -> float:
    """Seconds of a step, up to now where it runs."""
    if step.outcome is None and age is not None and step.began is not None:
        return max(0.0, age - step.began)
    return step.seconds
