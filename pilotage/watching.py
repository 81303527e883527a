"""Jobs on their way to the end, shown as they go: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from pilot.states import FINAL, JobState
from pilotage.words import counts, size

#: Seconds between two lines where there is no terminal.
BETWEEN_LINES = 5.0
_ORDER = [state.value for state in JobState]


class JobsDisplay:
    """Told the number of jobs in each state, shows how far they are. A context manager."""

    def __init__(self, title: str, total: int, console: Console) -> None:
        self._title = title
        self._total = total
        self._console = console
        self._last = ""
        self._spoke = 0.0
        self._started = time.monotonic()
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[states]}", markup=False),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID = self._progress.add_task(title, total=total, states="")

    def __enter__(self) -> JobsDisplay:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, states: Mapping[JobState, int]) -> None:
        """Show these numbers."""
        ended = sum(states.get(state, 0) for state in FINAL)
        text = counts({state.value: number for state, number in states.items()}, _ORDER)
        self._progress.update(self._task, completed=ended, states=text)
        if not self._console.is_terminal:
            self._line(text, ended == self._total)

    def _line(self, text: str, last: bool) -> None:
        now = time.monotonic()
        if text == self._last or (not last and now - self._spoke < BETWEEN_LINES):
            return
        self._last, self._spoke = text, now
        self._console.print(Text(f"{self._title}: {text}, after {now - self._started:.0f} s"))


class BytesDisplay:
    """Told bytes done and in all, shows how far a transfer is; silent where there is no terminal. A context manager."""

    def __init__(self, title: str, console: Console) -> None:
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[amount]}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._progress.add_task(title, total=None, amount="")

    def __enter__(self) -> BytesDisplay:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, done: int, total: int) -> None:
        """Show these numbers."""
        self._progress.update(self._task, completed=done, total=total, amount=f"{size(done)} of {size(total)}")
