"""Job files as people keep them: YAML or JSON, one document or several, with keys set from the command line."""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import yaml

from pilot.errors import InvalidInput, PilotageError

MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class JobFile:
    """One document of a file. `base` is where its inputs lie."""

    label: str  # how problems call it
    document: Any
    base: Path


class _Loader(yaml.SafeLoader):
    """YAML without surprises: a key that comes twice is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, Hashable) or name in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {name!r} comes twice", problem_mark=key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def read(path: str, stdin: TextIO) -> list[JobFile]:
    """The documents of a file; ``-`` is the standard input. Raises `PilotageError`."""
    if path == "-":
        return _documents(stdin.read(MAX_BYTES), "standard input", Path(), is_json=False)
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise PilotageError(f"{path} cannot be read: {reason}.") from error
    return _documents(text, path, file.parent, is_json=file.suffix == ".json")


def _documents(text: str, label: str, base: Path, *, is_json: bool) -> list[JobFile]:
    try:
        loaded = [json.loads(text)] if is_json else list(yaml.load_all(text, Loader=_Loader))
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise PilotageError(f"{label} is not {'JSON' if is_json else 'YAML'}: {_shown(error)}.") from error
    flat: list[Any] = []
    for document in loaded:
        if document is not None:
            flat.extend(document if isinstance(document, list) else [document])
    if not flat:
        raise PilotageError(f"{label} has no job in it.")
    labels = [label] if len(flat) == 1 else [f"{label}, job {number}" for number in range(1, len(flat) + 1)]
    return [JobFile(name, document, base) for name, document in zip(labels, flat, strict=True)]


def _shown(error: Exception) -> str:
    """The place and the problem, in one line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}: {error.problem}"
    return str(error).replace("\n", " ")


def assign(document: Any, settings: Sequence[str]) -> Any:
    """The document with some keys set, each as ``needs.cores=4``; the value is read as YAML. Raises `InvalidInput`."""
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not all(key.split(".")):
            raise InvalidInput("--set", f"expected KEY=VALUE like needs.cores=4, got {setting!r}")
        try:
            value = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
        except yaml.YAMLError as error:
            raise InvalidInput("--set", f"{key}: the value is not YAML: {_shown(error)}") from error
        document = _with(document, key.split("."), value)
    return document


def _with(document: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    inside = document if isinstance(document, dict) else {}
    return {**inside, path[0]: _with(inside.get(path[0]), path[1:], value)}
