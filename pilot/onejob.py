"""One job out of a job file, with its inputs beside the file: what runs without any central."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pilot.destinations.port import digests_of
from pilot.errors import InvalidInput, InvalidJob
from pilot.jobfile import JobDocument, fill, fill_spec, members, parse, relative_path
from pilot.protocol import Credential, InputFile, JobSpec

#: Bytes of a job file; one that people write has a few hundred.
MAX_FILE = 4 * 1024 * 1024
#: Members of a sweep that are shown to who did not choose one.
_SHOWN = 5


@dataclass(frozen=True)
class OneJob:
    """A job with nothing left to fill in, and where the bytes of its inputs are."""

    name: str
    spec: JobSpec
    files: Mapping[str, Path]  # by SHA-256
    checkpoint: tuple[InputFile, ...] = ()  # what it goes on from
    credentials: tuple[Credential, ...] = ()


def read(path: Path, settings: Sequence[str], member: Sequence[str]) -> OneJob:
    """Read a job file. `settings` change keys of it (``needs.cores=4``), `member` chooses from a sweep (``seed=3``).

    Raises `InvalidJob` with every problem, `InvalidInput` for what is wrong with the file or the choice.
    """
    values = load(path)
    for setting in settings:
        values = assign(values, setting)
    document = parse(values, str(path))
    chosen = choose(document, member)
    inputs, files = _inputs(document, chosen, path)
    spec = fill_spec(document.spec, chosen, inputs)
    name = spec.name or path.stem
    if chosen and spec.name == document.spec.name:
        name += "".join(f"-{key}-{value}" for key, value in chosen.items())
    return OneJob(name, spec, files)


def resumed(job: OneJob, folder: Path) -> OneJob:
    """The job with the checkpoint that lies in a folder. Raises `InvalidInput`."""
    if not job.spec.checkpoint:
        raise InvalidInput("--resume", f"the job {job.name} lists no `checkpoint`, so there is none to go on from")
    saved: list[InputFile] = []
    files = dict(job.files)
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        try:
            found = digests_of(Path(os.path.realpath(file)), None)
        except OSError as error:
            raise InvalidInput("--resume", f"{file} cannot be read: {error.strerror or error}") from error
        saved.append(InputFile(file.relative_to(folder).as_posix(), found.sha256, found.size))
        files[found.sha256] = file
    if not saved:
        raise InvalidInput("--resume", f"expected a folder with files, as {job.name}-output/checkpoint, got {folder}")
    return replace(job, files=files, checkpoint=tuple(saved))


def load(path: Path) -> Any:
    """The one document of a YAML or JSON file. Raises `InvalidInput`."""
    import yaml

    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE + 1)
        if len(text) > MAX_FILE:
            raise InvalidInput(str(path), f"expected a job file of at most {MAX_FILE} bytes")
        return yaml.safe_load(text)
    except OSError as error:
        raise InvalidInput(str(path), f"it cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidInput(str(path), f"it is not YAML: {' '.join(str(error).split())}") from error


def assign(document: Any, setting: str) -> Any:
    """The document with one key set; dots lead into mappings, the value is YAML. Raises `InvalidInput`."""
    import yaml

    key, equals, text = setting.partition("=")
    if not equals or not all(key.split(".")):
        raise InvalidInput("--set", f"expected name=value like needs.cores=4, got {setting!r}")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidInput("--set", f"{key}: the value is not YAML: {' '.join(str(error).split())}") from error
    return _with(document, key.split("."), value)


def choose(document: JobDocument, member: Sequence[str]) -> dict[str, str]:
    """The member of the sweep that these ``name=value`` pick; empty without a sweep. Raises `InvalidInput`."""
    wanted: dict[str, str] = {}
    for pair in member:
        name, equals, value = pair.partition("=")
        if not equals or name not in document.sweep:
            known = ", ".join(document.sweep) or "none: it has no sweep"
            raise InvalidInput("--member", f"expected name=value with a name of the sweep ({known}), got {pair!r}")
        wanted[name] = value
    matching = [values for values in members(document) if wanted.items() <= values.items()]
    if len(matching) == 1:
        return matching[0]
    choices = matching or list(members(document))
    shown = "; ".join(_written(values) for values in choices[:_SHOWN]) + ("; …" if len(choices) > _SHOWN else "")
    if not matching:
        raise InvalidInput("--member", f"no job of the sweep has {_written(wanted)}; there are {shown}")
    raise InvalidInput("--member", f"it is a sweep of {document.count} jobs: choose one, as {shown}")


def _written(values: Mapping[str, str]) -> str:
    return " ".join(f"--member {name}={value}" for name, value in values.items())


def _inputs(
    document: JobDocument, values: Mapping[str, str], path: Path
) -> tuple[tuple[InputFile, ...], dict[str, Path]]:  # fmt: skip
    """The inputs of one member, found beside the file. Raises `InvalidJob` with all that are missing."""
    inputs: list[InputFile] = []
    files: dict[str, Path] = {}
    problems: list[InvalidInput] = []
    for template in document.inputs:
        try:
            names = list(_named(fill(template, values), path))
        except InvalidInput as problem:
            problems.append(problem)
            continue
        for name in names:
            source = path.parent / name
            try:
                found = digests_of(Path(os.path.realpath(source)), None)
            except OSError as error:
                problems.append(InvalidInput(str(path), f"the input {name!r} cannot be read: {error.strerror}"))
                continue
            executable = template == document.executable or os.access(source, os.X_OK)
            inputs.append(InputFile(name, found.sha256, found.size, executable))
            files[found.sha256] = source
    if problems:
        raise InvalidJob(tuple(problems))
    return tuple(inputs), files


def _named(name: str, path: Path) -> Iterator[str]:
    """The files that an input's name stands for: itself, or with a slash at its end, all in that folder."""
    name = relative_path(name, str(path))
    if not name.endswith("/"):
        yield name
        return
    found = sorted(file for file in (path.parent / name).rglob("*") if file.is_file())
    if not found:
        raise InvalidInput(str(path), f"the input folder {name!r} has no file in it")
    for file in found:
        yield file.relative_to(path.parent).as_posix()


def _with(document: Any, keys: Sequence[str], value: Any) -> Any:
    if not keys:
        return value
    inside = document if isinstance(document, dict) else {}
    return {**inside, keys[0]: _with(inside.get(keys[0]), keys[1:], value)}
