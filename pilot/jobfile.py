"""A job as a person writes it (YAML or JSON), read into the job that travels.

`parse` takes the document, checks all of it and reports every problem with its path; `members` fills in a sweep. The
central reads what is submitted with it, ``pilot.pyz run --job`` reads a file with it: one meaning everywhere.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from pilot import tags, units
from pilot.errors import InvalidInput, InvalidJob
from pilot.fields import Fields, is_number, shown, strings
from pilot.protocol import InputFile, JobSpec, Needs, OutputRule, Platform

#: Jobs that one request may bring, sweeps counted out.
MAX_JOBS = 100_000
MAX_CORES = 65_536
MAX_ARGUMENTS = 4096
MAX_ARGUMENT_BYTES = 128 * 1024
MAX_FILES = 10_000
_SITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SWEEP_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_RANGE = re.compile(r"(-?\d{1,12})\.\.(-?\d{1,12})")
_MICROARCH = re.compile(r"(?:>=\s*)?v?([1-4])")


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
    needs = _needs(fields)
    executable = fields.text("executable", None)
    command = _command(fields, executable)
    inputs = strings(fields, "inputs", most=MAX_FILES, each=relative_path)
    shipped = _shipped(executable)
    if shipped and shipped not in inputs:
        inputs = (*inputs, shipped)
    spec = JobSpec(
        command=command,
        needs=needs,
        name=fields.text("name", "", most=200) or "",
        outputs=_outputs(fields),
        environment=_environment(fields),
        container=fields.text("container", None, most=4096),
        retries=fields.whole("retries", 0, least=0, most=100),
        priority=fields.whole("priority", 5, least=0, most=10),
        checkpoint=strings(fields, "checkpoint", most=100, each=relative_path),
        credentials=strings(fields, "credentials", most=20),
        grace=fields.duration("grace", 10),
    )
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
        outputs=tuple([_fill_rule(rule, values) for rule in spec.outputs]),
        environment={name: fill(value, values) for name, value in spec.environment.items()},
        container=fill(spec.container, values) if spec.container else None,
        retries=spec.retries,
        priority=spec.priority,
        checkpoint=spec.checkpoint,
        credentials=spec.credentials,
        grace=spec.grace,
    )


def _fill_rule(rule: OutputRule, values: Mapping[str, str]) -> OutputRule:
    return OutputRule(fill(rule.pattern, values), tuple([fill(to, values) for to in rule.to]))


def relative_path(value: str, where: str) -> str:
    """A path inside the job's directory, in its shortest spelling. Raises `InvalidInput`."""
    parts = [part for part in value.split("/") if part not in ("", ".")]
    if value.startswith("/") or ".." in parts or not parts or "\0" in value or len(value) > 1024:
        raise InvalidInput(where, f"expected a path inside the job's directory, got {value!r}")
    return "/".join(parts) + ("/" if value.endswith("/") else "")


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
    if sum(len(word.encode("utf-8", "surrogateescape")) + 1 for word in command) > MAX_ARGUMENT_BYTES:
        fields.problem("command", f"expected at most {MAX_ARGUMENT_BYTES} bytes of arguments")
    return command


def _needs(fields: Fields) -> Needs:
    needs = fields.section("needs")
    cores, max_cores, whole_node = _cores(needs)
    memory = needs.size("memory")
    gpus, gpu_memory = _gpus(needs)
    sites = strings(needs, "sites", most=1000, each=_site, empty_is_wrong=True)
    not_sites = tuple(sorted(set(strings(needs, "not_sites", most=1000, each=_site))))
    anywhere = not sites or any(site.lower() == "any" for site in sites)
    allowed = None if anywhere else tuple(sorted(set(sites) - set(not_sites)))
    if allowed == ():
        needs.problem("sites", "every site named is also in `not_sites`: the job could run nowhere")
    isolation = needs.text("isolation", "none", choices=("none", "required"))
    result = Needs(
        cores=cores,
        max_cores=max_cores,
        whole_node=whole_node,
        memory=memory.fixed,
        memory_per_core=memory.per_core,
        disk=needs.bytes("disk", 0),
        gpus=gpus,
        gpu_memory=gpu_memory,
        wall_time=needs.duration("wall_time", 86400, least=1),
        tags=_tags(needs),
        sites=allowed,
        not_sites=not_sites,
        platform=_platform(needs),
        isolation=isolation == "required",
    )
    needs.finish()
    return result


def _cores(needs: Fields) -> tuple[int, int, bool]:
    value = needs.take("cores", 1)
    if value == "whole-node":
        return 1, MAX_CORES, True
    if isinstance(value, dict):
        bounds = Fields(value, needs.path("cores"), needs.problems)
        least = bounds.whole("min", 1, least=1, most=MAX_CORES)
        most = bounds.whole("max", least, least=1, most=MAX_CORES)
        bounds.finish()
        if most < least:
            needs.problem("cores", f"expected a maximum not below the minimum, got {most} < {least}")
        return least, most, False
    cores = needs.check_whole("cores", value, 1, MAX_CORES, "or {min, max}, or whole-node")
    return cores, cores, False


def _gpus(needs: Fields) -> tuple[int, int]:
    value = needs.take("gpus", 0)
    if isinstance(value, dict):
        inside = Fields(value, needs.path("gpus"), needs.problems)
        count, memory = inside.whole("count", 1, least=1, most=1024), inside.bytes("memory", 0)
        inside.finish()
        return count, memory
    return needs.check_whole("gpus", value, 0, 1024, "or {count, memory}"), 0


def _tags(needs: Fields) -> str:
    value = needs.take("tags", "")
    where = needs.path("tags")
    try:
        if isinstance(value, str):
            return tags.canonical(value, where)
        if isinstance(value, (list, tuple)) and all(isinstance(tag, str) for tag in value):
            # Each by itself, so that brackets cannot reach from one to the next.
            parts = [tags.canonical(tag, f"{where}[{index}]") for index, tag in enumerate(value[: tags.MAX_TERMS + 1])]
            return tags.canonical(" & ".join(f"({part})" for part in parts if part), where)
    except InvalidInput as problem:
        needs.problems.append(problem)
        return ""
    needs.problem("tags", f"expected an expression like cvmfs & ~slow-disk, got {shown(value)}")
    return ""


def _platform(needs: Fields) -> Platform:
    platform = needs.section("platform")
    arch = platform.text("arch", None, most=40)
    microarch = platform.text("microarch", None)
    glibc = platform.version("glibc", at_least=True)
    platform.finish()
    level = _MICROARCH.fullmatch(microarch) if microarch else None
    if microarch and not level:
        platform.problem("microarch", f"expected >=v1 to >=v4, got {shown(microarch)}")
    return Platform(arch, int(level[1]) if level else None, glibc)


def _outputs(fields: Fields) -> tuple[OutputRule, ...]:
    rules: list[OutputRule] = []
    for index, value in enumerate(fields.listed("outputs", most=1000)):
        where = fields.path(f"outputs[{index}]")
        entry = Fields({"pattern": value} if isinstance(value, str) else value, where, fields.problems)
        pattern = entry.text("pattern", None) or entry.text("path", None)
        to = strings(entry, "to", most=10)
        entry.finish()
        if not pattern:
            entry.problem("", "expected a glob, or a mapping with `path` and `to`")
            continue
        try:
            rules.append(OutputRule(relative_path(pattern, where), to))
        except InvalidInput as problem:
            fields.problems.append(problem)
    return tuple(rules)


def _environment(fields: Fields) -> dict[str, str]:
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
        result[name] = text
    return result


def _files(fields: Fields) -> dict[str, InputFile]:
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


def _site(value: str, where: str) -> str:
    if not _SITE.fullmatch(value):
        raise InvalidInput(where, f"expected a site's name, got {value!r}")
    return value
