"""Between the records of `pilot.protocol` and JSON, checked on the way in, without any library.

`encode` leaves out what is absent (None where None is the default); `decode` ignores fields it does not know and says
where something does not fit. How a type is read is worked out once for each type.
"""

from __future__ import annotations

import dataclasses
import json
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Callable, Literal, Optional, TypeVar, Union, get_args, get_origin, get_type_hints

from pilot.errors import InvalidInput

Record = TypeVar("Record")
_Reader = Callable[[Any], Any]


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


# Made once: with options, the functions of json make a new one at each call.
_READER = json.JSONDecoder(parse_constant=_no_constant)
_WIRE = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_LINK = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def dumps(record: Any) -> bytes:
    """A record as JSON for the wire, on one line. What UTF-8 cannot say (a file name of other bytes) becomes `?`."""
    return _WIRE.encode(encode(record)).encode("utf-8", "replace")


def pack(values: Any) -> bytes:
    """Plain values as JSON on one line, for a reader in Python: texts come back exactly as they were."""
    return _LINK.encode(values).encode()


def loads(kind: type[Record], text: bytes) -> Record:
    """Read one record. Raises `InvalidInput`."""
    return decode(kind, parse(text))


def parse(text: bytes) -> Any:
    """JSON as plain values. Raises `InvalidInput` for what is not JSON, NaN and nesting without end included."""
    try:
        return _READER.decode(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidInput("", f"expected JSON, got {text[:80]!r} ({error})") from error


def encode(value: Any) -> Any:
    """Plain values for JSON: records become mappings, tuples lists, enums their values."""
    kind: Any = type(value)
    if kind is str or kind is int or value is None or kind is float or kind is bool:
        return value
    if dataclasses.is_dataclass(value):
        found = {}
        for name, may_be_absent in _fields(kind):
            field = getattr(value, name)
            if field is not None or not may_be_absent:
                found[name] = encode(field)
        return found
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {str(key): encode(item) for key, item in value.items()}
    raise TypeError(f"no record field holds a {kind.__name__}: {value!r}")


def decode(kind: type[Record], values: Any) -> Record:
    """Build a record from plain values. Raises `InvalidInput` with the path to the spot."""
    plain: Any = kind  # a type is hashable, whatever mypy makes of the hash of its instances
    record: Record = _reader(plain)(values)
    return record


@cache
def _fields(kind: type[Any]) -> tuple[tuple[str, bool], ...]:
    return tuple((field.name, field.default is None) for field in dataclasses.fields(kind))


@cache
def _reader(kind: Any) -> _Reader:
    """The function that checks and builds a value of one type, as annotations of the records spell it."""
    origin = get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return _record(kind)
    if kind in _SCALARS:
        return _SCALARS[kind]
    if kind is Any:
        return lambda value: value
    if origin is Union:
        return _union(get_args(kind))
    if origin is tuple:
        return _tuple(get_args(kind))
    if origin is dict:
        return _mapping(*get_args(kind))
    if origin is Literal:
        return _choice({value: value for value in get_args(kind)})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _choice({member.value: member for member in kind})
    raise TypeError(f"{kind!r} cannot be read from JSON")


def _record(kind: Any) -> _Reader:
    hints = get_type_hints(kind)
    fields = [field.name for field in dataclasses.fields(kind)]
    required = [
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    readers = {name: _reader(hints[name]) for name in fields}

    def read(values: Any) -> Any:
        if not isinstance(values, dict):
            raise InvalidInput("", f"expected {kind.__name__} (a mapping), got {_shown(values)}")
        found = {}
        for name, value in values.items():
            reader = readers.get(name)
            if reader is not None:
                found[name] = _at(name, reader, value)
        for name in required:
            if name not in found:
                raise InvalidInput(name, f"{kind.__name__} needs this field")
        return kind(**found)

    return read


def _union(kinds: tuple[Any, ...]) -> _Reader:
    optional = type(None) in kinds
    readers = [_reader(kind) for kind in kinds if kind is not type(None)]
    if len(readers) == 1 and optional:
        only = readers[0]
        return lambda value: None if value is None else only(value)

    def read(value: Any) -> Any:
        if value is None and optional:
            return None
        problems = []
        for reader in readers:
            found, problem = _attempt(reader, value)
            if problem is None:
                return found
            problems.append(problem.problem.split(", got ")[0])
        raise InvalidInput("", f"{' or '.join(problems)}, got {_shown(value)}")

    return read


def _tuple(kinds: tuple[Any, ...]) -> _Reader:
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        one = _reader(kinds[0])

        def read(values: Any) -> Any:
            if not isinstance(values, list):
                raise InvalidInput("", f"expected a list, got {_shown(values)}")
            return tuple([_at(index, one, value) for index, value in enumerate(values)])

        return read
    readers = [_reader(kind) for kind in kinds]

    def read_exactly(values: Any) -> Any:
        if not isinstance(values, list) or len(values) != len(readers):
            raise InvalidInput("", f"expected a list of {len(readers)}, got {_shown(values)}")
        return tuple([_at(index, readers[index], value) for index, value in enumerate(values)])

    return read_exactly


def _mapping(key: Any, kind: Any) -> _Reader:
    if key is not str:
        raise TypeError(f"keys of JSON are texts, not {key!r}")
    one = _reader(kind)

    def read(values: Any) -> dict[str, Any]:
        if not isinstance(values, dict):
            raise InvalidInput("", f"expected a mapping, got {_shown(values)}")
        return {name: _at(name, one, value) for name, value in values.items()}

    return read


def _choice(values: dict[Any, Any]) -> _Reader:
    expected = " or ".join(str(value) for value in values)

    def read(value: Any) -> Any:
        if isinstance(value, str) and value in values:
            return values[value]
        raise InvalidInput("", f"expected {expected}, got {_shown(value)}")

    return read


def _scalar(kind: type[Any], article: str) -> _Reader:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise InvalidInput("", f"expected {article}, got {_shown(value)}")
        return value

    return read


def _float(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            pass
    raise InvalidInput("", f"expected a number, got {_shown(value)}")


_TEXT = _scalar(str, "a text")
_SCALARS: dict[Any, _Reader] = {
    str: _TEXT,
    Path: lambda value: Path(_TEXT(value)),
    int: _scalar(int, "a whole number"),
    bool: _scalar(bool, "true or false"),
    float: _float,
}


def _attempt(reader: _Reader, value: Any) -> tuple[Any, Optional[InvalidInput]]:
    try:
        return reader(value), None
    except InvalidInput as error:
        return None, error


def _at(place: Union[str, int], reader: _Reader, value: Any) -> Any:
    """Read what is at a place inside; a problem there is told with the path from here."""
    try:
        return reader(value)
    except InvalidInput as error:
        here = f"[{place}]" if isinstance(place, int) else place
        inner = error.where
        path = here if not inner else f"{here}{inner}" if inner.startswith("[") else f"{here}.{inner}"
        raise InvalidInput(path, error.problem) from None


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."
