"""A job as a person writes it (YAML or JSON), read into the job that travels.

`parse` takes the document, checks all of it and reports every problem with its path; `members` fills in a sweep. The
central reads what is submitted with it, ``pilot.pyz run --job`` reads a file with it: one meaning everywhere.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Optional

from pilot import imagename, stopping, tags, units
from pilot.errors import InvalidInput, InvalidJob
from pilot.fields import Fields, is_number, shown, strings
from pilot.fields import relative_path as relative_path  # noqa: PLC0414 - many know it by this place
from pilot.imagename import ImageName
from pilot.jobneeds import read_needs
from pilot.jobtransfers import MAX_FILES as MAX_FILES  # noqa: PLC0414 - likewise
from pilot.jobtransfers import (
    NO_KEYS,
    check_sweep,
    fill_rule,
    fill_url,
    over_s3,
    read_credentials,
    read_inputs,
    read_outputs,
    tags_of,
)
from pilot.protocol import InputFile, JobSpec, Needs

#: Jobs that one request may bring, sweeps counted out.
MAX_JOBS = 100_000
MAX_ARGUMENTS = 4096
MAX_ARGUMENT_BYTES = 128 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SWEEP_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_RANGE = re.compile(r"(-?\d{1,12})\.\.(-?\d{1,12})")
#: YAML takes each half of such a pair by itself, where JSON makes one character of the two.
_HALF = r"expected whole characters; write one itself, or as \U0001f4a3, and not as a pair like \ud83d\udca3"


@dataclass(frozen=True)
class JobDocument:
    """A checked document: a job whose strings may hold ``{name}`` for each name of its sweep."""

    spec: JobSpec  # without inputs: they are below, by name
    inputs: tuple[str, ...] = ()
    executable: Optional[str] = None  # the one of the inputs that must be executable
    files: dict[str, InputFile] = field(default_factory=dict)  # known digests, by name
    sweep: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many jobs it is."""
        total = 1
        for values in self.sweep.values():
            total *= len(values)
        return total


def parse(document: Any, where: str = "", *, most: int = MAX_JOBS) -> JobDocument:
    """Check a whole document. Raises `InvalidJob` with every problem; `most` bounds the sweep."""
    problems: list[InvalidInput] = []
    if not isinstance(document, dict):
        raise InvalidJob((InvalidInput(where, f"expected a job (a mapping), got {type(document).__name__}"),))
    fields = Fields(document, where, problems)
    sweep = _sweep(fields, most)
    needs = read_needs(fields)
    executable = fields.text("executable", None)
    command = _command(fields, executable)
    inputs, urls = read_inputs(fields)
    outputs = read_outputs(fields)
    shipped = _shipped(executable)
    if shipped and shipped not in (*inputs, *(one.name for one in urls)):
        inputs = (*inputs, shipped)
    if any(one.name == shipped for one in urls):
        urls = tuple(replace(one, executable=one.executable or one.name == shipped) for one in urls)
    check_sweep(sweep, outputs, urls, fields)
    needs = _with_tags(fields, needs, tags_of(outputs, urls), "its storages")
    image = _image(fields)
    if image is not None:
        needs = _where_it_runs(fields, needs, image)
        if image.kind == "input" and not any(_brings(name, image.text) for name in inputs):
            inputs = (*inputs, image.text)
    spec = JobSpec(
        command=command,
        needs=needs,
        name=fields.text("name", "", most=200) or "",
        outputs=outputs,
        environment=_environment(fields),
        container=image.text if image is not None else None,
        retries=fields.whole("retries", 0, least=0, most=100),
        priority=fields.whole("priority", 5, least=0, most=10),
        checkpoint=strings(fields, "checkpoint", most=100, each=relative_path),
        credentials=read_credentials(fields),
        grace=fields.duration("grace", 10),
        cpu_time=fields.duration("cpu_time", 0),
        no_progress=fields.duration("no_progress", 7200),
        stop_signal=stopping.stop_signal(fields, needs.wall_time),
        urls=urls,
    )
    if not spec.credentials and (url := over_s3(spec)):
        fields.problem("credentials", NO_KEYS.format(url=url))
    files = _files(fields)
    fields.finish()
    if problems:
        raise InvalidJob(tuple(problems))
    return JobDocument(spec, inputs, shipped, files, sweep)


def members(document: JobDocument) -> Iterator[dict[str, str]]:
    """The values of each job of the sweep, in order; one empty mapping when there is no sweep."""
    for values in itertools.product(*document.sweep.values()):
        yield dict(zip(document.sweep, values))


def fill(text: str, values: Mapping[str, str]) -> str:
    """Put the values of one member into a text; other braces stay as they are."""
    if "{" not in text:
        return text
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text


def fill_spec(spec: JobSpec, values: Mapping[str, str], inputs: tuple[InputFile, ...]) -> JobSpec:
    """The job of one member, with its inputs."""
    if not values and inputs == spec.inputs:
        return spec
    # Field by field, which takes a third of the time of `replace`: it is done for every match.
    return JobSpec(
        command=tuple([fill(word, values) for word in spec.command]),
        needs=spec.needs,
        name=fill(spec.name, values),
        inputs=inputs,
        outputs=tuple([fill_rule(rule, partial(fill, values=values)) for rule in spec.outputs]),
        environment={name: fill(value, values) for name, value in spec.environment.items()},
        container=fill(spec.container, values) if spec.container else None,
        retries=spec.retries,
        priority=spec.priority,
        checkpoint=spec.checkpoint,
        credentials=spec.credentials,
        grace=spec.grace,
        cpu_time=spec.cpu_time,
        no_progress=spec.no_progress,
        stop_signal=spec.stop_signal,
        urls=tuple([fill_url(one, partial(fill, values=values)) for one in spec.urls]),
    )


def _shipped(executable: Optional[str]) -> Optional[str]:
    """The input that a relative executable is; a bare name comes from PATH, an absolute path from the node."""
    if not executable or executable.startswith("/") or "/" not in executable:
        return None
    return relative_path(executable, "executable")


def _command(fields: Fields, executable: Optional[str]) -> tuple[str, ...]:
    command = strings(fields, "command", most=MAX_ARGUMENTS)
    arguments = strings(fields, "arguments", most=MAX_ARGUMENTS)
    if executable:
        if command:
            fields.problem("command", "expected either `executable` or `command`, got both")
        try:
            shipped = _shipped(executable)
        except InvalidInput as problem:
            fields.problem("executable", problem.problem)
            shipped = None
        command = (f"./{shipped}" if shipped else executable, *arguments)
    elif not command:
        fields.problem("command", "expected `executable` or `command`: without one there is nothing to run")
    else:
        command = (*command, *arguments)
    sizes = [_size(word) for word in command]
    if None in sizes:
        fields.problem("command", _HALF)
    if sum(size + 1 for size in sizes if size is not None) > MAX_ARGUMENT_BYTES:
        fields.problem("command", f"expected at most {MAX_ARGUMENT_BYTES} bytes of arguments")
    return command


def _size(text: str) -> Optional[int]:
    """Bytes of an argument or a variable; None: it can be neither."""
    try:
        return len(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return None


def _image(fields: Fields) -> Optional[ImageName]:
    name = fields.text("container", None, most=4096)
    try:
        return imagename.parse(name, fields.path("container")) if name else None
    except InvalidInput as problem:
        fields.problems.append(problem)
        return None


def _where_it_runs(fields: Fields, needs: Needs, image: ImageName) -> Needs:
    """A container asks for nodes that proved to run it. Whether others can look into it is proved of containers too."""
    wanted = image.tags + ((imagename.ISOLATES,) if needs.isolation else ())
    return replace(_with_tags(fields, needs, wanted, "the container"), isolation=False)


def _with_tags(fields: Fields, needs: Needs, wanted: tuple[str, ...], whose: str) -> Needs:
    if not wanted:
        return needs
    expression = " & ".join(filter(None, (needs.tags and f"({needs.tags})", *wanted)))
    try:
        return replace(needs, tags=tags.canonical(expression))
    except InvalidInput as problem:  # the tags fill all the room by themselves
        fields.problem("needs.tags", f"together with those of {whose}: {problem.problem}")
        return needs


def _brings(name: str, image: str) -> bool:
    """Whether an input brings the image: as the same file, or in its folder."""
    return name == image or (name.endswith("/") and image.startswith(name))


def _environment(fields: Fields) -> dict[str, str]:
    if not fields.given("environment"):
        return {}
    section = fields.section("environment")
    result: dict[str, str] = {}
    for name in list(section.left):
        if not _ENVIRONMENT_NAME.fullmatch(name):
            section.problem(name, "expected a name of letters, digits and underscores")
        value = section.take(name, "")
        text = str(value) if isinstance(value, bool) or is_number(value) else value
        if not isinstance(text, str) or "\0" in text:
            section.problem(name, f"expected a text, got {shown(value)}")
            continue
        if _size(text) is None:
            section.problem(name, _HALF)
        result[name] = text
    return result


def _files(fields: Fields) -> dict[str, InputFile]:
    if not fields.given("files"):
        return {}
    section = fields.section("files")
    result: dict[str, InputFile] = {}
    for name in list(section.left):
        entry = section.section(name)
        digest = entry.text("sha256", "") or ""
        size = entry.whole("size", 0, least=0, most=units.MAX_BYTES)
        executable = bool(entry.take("executable", False))
        entry.finish()
        if not _SHA256.fullmatch(digest):
            entry.problem("sha256", f"expected 64 hex digits, got {shown(digest)}")
        result[name] = InputFile(name, digest, size, executable)
    return result


def _sweep(fields: Fields, most: int) -> dict[str, tuple[str, ...]]:
    if not fields.given("sweep"):
        return {}
    section = fields.section("sweep")
    result: dict[str, tuple[str, ...]] = {}
    total = 1
    for name in list(section.left):
        value = section.take(name, ())
        if not _SWEEP_NAME.fullmatch(name):
            section.problem(name, "expected a name of letters, digits and underscores")
        found = _RANGE.fullmatch(value.strip()) if isinstance(value, str) else None
        if found:
            first, last = int(found[1]), int(found[2])
            total *= max(0, last - first + 1)
            values: tuple[str, ...] = ()
            if 0 < total <= most:
                values = tuple(str(number) for number in range(first, last + 1))
        elif isinstance(value, (list, tuple)) and all(isinstance(v, (str, bool)) or is_number(v) for v in value):
            values = tuple(str(v) for v in value)
            total *= len(values)
        else:
            section.problem(name, f"expected a range like 1..100 or a list of values, got {shown(value)}")
            continue
        if total == 0:
            section.problem(name, f"expected at least one value, got {shown(value)}")
        result[name] = values
    if total > most:
        section.problem("", f"expected at most {most:,} jobs, got {total:,}: submit in parts")
    return result
