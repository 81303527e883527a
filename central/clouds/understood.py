"""Answers that are not what they are to be: a key that is missing in one, a list where a text was looked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from central.elements.port import ComputingError, Trouble

P = ParamSpec("P")
T = TypeVar("T")

#: Characters of a message.
_WORDS = 400


@contextmanager
def understood(whom: str) -> Iterator[None]:
    """What is made of an answer within the context. Raises `ComputingError` (UNREACHABLE: nothing is known) where
    something is looked for in it that is not there, or is something else."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        sentence = f"{whom} gives an answer that cannot be understood: {error!r}"
        raise ComputingError(sentence[:_WORDS], Trouble.UNREACHABLE) from error


def understands(whom: str) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]]:
    """The same for all that a verb of an adapter does."""

    def held(verb: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        @wraps(verb)
        async def asked(*given: P.args, **named: P.kwargs) -> T:
            with understood(whom):
                return await verb(*given, **named)

        return asked

    return held
