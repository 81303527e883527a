"""Strategies for every record that crosses the wire or the link, worked out from their annotations."""

import dataclasses
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from pilot import messages, protocol, renewals, transfers

TEXT = st.text(st.characters(blacklist_categories=("Cs",)), max_size=20)
SCALARS = {
    str: TEXT,
    int: st.integers(-(2**53), 2**53),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    type(None): st.none(),
    Path: TEXT.filter(lambda text: "\0" not in text).map(Path),
}


def records(module: ModuleType) -> list[Any]:
    """The records that a module defines."""
    return [
        kind for kind in vars(module).values() if dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__
    ]


WIRE = [*records(protocol), *records(renewals), *records(transfers)]
LINK = records(messages)


def of(kind: Any) -> "st.SearchStrategy[Any]":
    """Values of a type, as annotations of the records spell it."""
    if kind in SCALARS:
        return SCALARS[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return st.builds(kind, **{field.name: of(hints[field.name]) for field in dataclasses.fields(kind)})
    if origin is Union:
        return st.one_of([of(argument) for argument in arguments])
    if origin is tuple and arguments[1:] == (Ellipsis,):
        return st.lists(of(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(of, arguments))
    if origin is dict:
        return st.dictionaries(of(arguments[0]), of(arguments[1]), max_size=3)
    if origin is Literal:
        return st.sampled_from(arguments)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    raise AssertionError(f"no strategy for {kind!r}")
