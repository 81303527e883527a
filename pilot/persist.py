"""Does something that may fail for a while, until it works, is refused for good, or must stop."""

from __future__ import annotations

from typing import Callable, Optional, Union

from pilot.backoff import Backoff
from pilot.errors import Refusal, TransportError


class Stopped(Exception):
    """`persist` was told to stop before it had succeeded. `last` is the problem that it met last."""

    def __init__(self, last: Optional[Exception]) -> None:
        super().__init__(str(last or "there was no time to begin"))
        self.last = last


def again(what: str, why: str, tries: int, seconds: float) -> str:
    """A sentence about something that is tried again."""
    return f"{what}: {why}; tried {'once' if tries == 1 else f'{tries} times'}, next in {max(1.0, seconds):.0f} s"


def persist(
    action: Callable[[], None],
    pause: Callable[[float], bool],
    random: Callable[[], float],
    told: Callable[[str, int, float], None] = lambda why, tries, seconds: None,
) -> None:
    """Do it, again and again where that may help. `pause` waits and says whether to stop; `told` hears why it is tried
    again, how often it was, and in how many seconds it will be.

    Raises the `Refusal` that is final, or `Stopped`.
    """
    backoff = Backoff(random)
    while True:
        try:
            return action()
        except TransportError as error:
            problem: Union[TransportError, Refusal] = error
        except Refusal as refusal:
            if not refusal.transient:
                raise
            problem = refusal
        seconds = backoff.failed(getattr(problem, "retry_after", None))
        told(str(problem), backoff.failures, seconds)
        if pause(seconds):
            raise Stopped(problem)
