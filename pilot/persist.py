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


def persist(action: Callable[[], None], pause: Callable[[float], bool], random: Callable[[], float]) -> None:
    """Do it, again and again where that may help. `pause` waits and says whether to stop.

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
        if pause(backoff.failed(getattr(problem, "retry_after", None))):
            raise Stopped(problem)
