"""What a submission has to bring along: the input files that its documents name, each with its digest."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pilot.errors import InvalidInput, InvalidJob
from pilot.jobfile import JobDocument, fill, members, parse, relative_path
from pilotage.files import LocalFile, digest

#: Files that one folder among the inputs may hold; more are a mistake, or better packed into one file.
MAX_FOLDER = 10_000


@dataclass(frozen=True)
class Prepared:
    """Checked documents that name the digest of every input, and the files to send before them."""

    documents: tuple[Mapping[str, Any], ...]
    files: tuple[LocalFile, ...] = ()
    count: int = 0  # jobs that they are

    def __add__(self, other: Prepared) -> Prepared:
        """Both in one submission."""
        return Prepared(self.documents + other.documents, self.files + other.files, self.count + other.count)


def prepare(documents: Sequence[Mapping[str, Any]], base: Path, labels: Sequence[str] = ()) -> Prepared:
    """Check documents and read their inputs, which lie in `base`. Raises `InvalidJob` with every problem.

    Problems are told by place: by label where there is one, else ``jobs[3]``.
    """
    known: dict[Path, LocalFile] = {}
    problems: list[InvalidInput] = []
    prepared = Prepared(())
    for index, document in enumerate(documents):
        where = "" if labels else f"jobs[{index}]"
        try:
            prepared += _Inputs(document, where, base, known).prepare()
        except InvalidJob as error:
            problems.extend(labelled(labels[index], found) if labels else found for found in error.problems)
    if problems:
        raise InvalidJob(tuple(problems))
    return prepared


def labelled(label: str, problem: InvalidInput) -> InvalidInput:
    """A problem with the name of its file before its place."""
    return InvalidInput(f"{label}: {problem.where}" if problem.where else label, problem.problem)


class _Inputs:
    """The inputs of one document."""

    def __init__(self, document: Mapping[str, Any], where: str, base: Path, known: dict[Path, LocalFile]) -> None:
        self._document = document
        self._where = where
        self._base = base
        self._known = known
        self._problems: list[InvalidInput] = []

    def prepare(self) -> Prepared:
        parsed = parse(self._document if isinstance(self._document, dict) else dict(self._document), self._where)
        names, templates = self._names(parsed)
        files = {name: vars(file) for name, file in parsed.files.items()}
        needed: list[LocalFile] = []
        for name, spot in names.items():
            if name not in files and (file := self._file(name, spot)):
                needed.append(file)
                executable = os.access(file.path, os.X_OK)
                files[name] = {"sha256": file.sha256, "size": file.size, "executable": executable}
        if self._problems:
            raise InvalidJob(tuple(self._problems))
        document = dict(self._document)
        if templates:
            document["inputs"] = [*templates, *self._by_url()]
        if files:
            document["files"] = {name: _described(file) for name, file in files.items()}
        return Prepared((document,), tuple(needed), parsed.count)

    def _by_url(self) -> list[Any]:
        """The inputs that the pilot fetches from storages, as they were written."""
        written = self._document.get("inputs")
        return [each for each in written if isinstance(each, dict)] if isinstance(written, list | tuple) else []

    def _names(self, parsed: JobDocument) -> tuple[dict[str, str], list[str]]:
        """The name of every input with the place that asks for it, and the list of inputs without folders."""
        names: dict[str, str] = {}
        templates: list[str] = []
        for number, template in enumerate(parsed.inputs):
            spot = f"{self._where}.inputs[{number}]".lstrip(".")
            if template.endswith("/"):
                found = self._folder(template, spot)
                templates.extend(found)
                names.update(dict.fromkeys(found, spot))
                continue
            templates.append(template)
            for name in self._filled(template, parsed, spot):
                names.setdefault(name, spot)
        return names, templates

    def _filled(self, template: str, parsed: JobDocument, spot: str) -> Iterator[str]:
        """The names that a template becomes in the members of a sweep."""
        if not any("{" + name + "}" in template for name in parsed.sweep):
            yield template
            return
        for values in members(parsed):
            try:
                yield relative_path(fill(template, values), spot)
            except InvalidInput as problem:
                self._problems.append(problem)
                return

    def _folder(self, name: str, spot: str) -> list[str]:
        """The files below a folder among the inputs."""
        top = self._base / name
        if not top.is_dir():
            self._problem(spot, f"there is no folder {name} in {self._base}")
            return []
        found = sorted(path.relative_to(self._base).as_posix() for path in top.rglob("*") if path.is_file())
        if not 1 <= len(found) <= MAX_FOLDER:
            self._problem(spot, f"expected 1 to {MAX_FOLDER} files in the folder {name}, got {len(found)}")
            return []
        return found

    def _file(self, name: str, spot: str) -> LocalFile | None:
        path = self._base / name
        try:
            if path not in self._known:
                self._known[path] = digest(path)
            return self._known[path]
        except FileNotFoundError:
            self._problem(spot, f"there is no file {name} in {self._base}")
        except IsADirectoryError:
            self._problem(spot, f"{name} is a folder; write {name}/ to send all files in it")
        except OSError as error:
            self._problem(spot, f"{path} cannot be read ({error.strerror})")
        return None

    def _problem(self, spot: str, text: str) -> None:
        self._problems.append(InvalidInput(spot, text))


def _described(file: Mapping[str, Any]) -> dict[str, Any]:
    return {key: file[key] for key in ("sha256", "size", "executable")}
