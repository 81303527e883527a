"""What a job brings along and brings home, as a person writes it: ``inputs`` and ``outputs`` of a job file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable

from pilot.codes import AttemptCode
from pilot.destination import PLACEHOLDERS, SANDBOX, XROOTD_TAG, parse_destination, parse_source, serves_one
from pilot.destination import shown as shown_url
from pilot.errors import InvalidInput
from pilot.fields import Fields, is_number, relative_path, shown, strings
from pilot.protocol import JobSpec, OutputRule, UrlInput

MAX_FILES = 10_000
MAX_RULES = 1000
#: Destinations of one output.
MAX_DESTINATIONS = 10
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_ADLER32 = re.compile(r"[0-9a-f]{1,8}")


def read_inputs(fields: Fields) -> tuple[tuple[str, ...], tuple[UrlInput, ...]]:
    """The inputs that travel from the central, by name, and those that the pilot fetches from a URL."""
    names: list[str] = []
    urls: list[UrlInput] = []
    for index, value in enumerate(fields.listed("inputs", most=MAX_FILES)):
        where = fields.path(f"inputs[{index}]")
        text = str(value) if is_number(value) else value
        try:
            if isinstance(value, Mapping):
                urls.extend(_url_input(Fields(value, where, fields.problems)))
            elif isinstance(text, str) and "://" in text:
                raise InvalidInput(where, f"a URL is written with its name, as {{url: {shown(text)}, name: NAME}}")
            elif isinstance(text, str) and "\0" not in text:
                names.append(relative_path(text, where))
            else:
                raise InvalidInput(where, f"expected a path, or {{url, name}}, got {shown(value)}")
        except InvalidInput as problem:
            fields.problems.append(problem)
    known = set(names)
    for one in urls:
        if one.name in known:
            fields.problem("inputs", f"expected each name once, got {one.name!r} twice")
        known.add(one.name)
    return tuple(names), tuple(urls)


def _url_input(entry: Fields) -> Iterable[UrlInput]:
    """One input by URL; none where it has problems, which are told."""
    url, before = entry.text("url", "", most=2048) or "", len(entry.problems)
    last = url.partition("?")[0].rpartition("/")[2]
    name = entry.text("name", last or None) or ""
    sha256 = (entry.text("sha256", "") or "").lower()
    adler32 = (entry.text("adler32", "") or "").lower()
    size = entry.bytes("size", 0) if entry.given("size") else None
    executable = bool(entry.take("executable", False))
    entry.finish()
    if not url:
        entry.problem("url", "expected where the file is, as https://HOST/PATH")
    if sha256 and not _SHA256.fullmatch(sha256):
        entry.problem("sha256", f"expected 64 hex digits, got {shown(sha256)}")
    if adler32 and not _ADLER32.fullmatch(adler32):
        entry.problem("adler32", f"expected up to 8 hex digits in quotes, got {shown(adler32)}")
    if len(entry.problems) > before:
        return ()
    url = parse_source(url, entry.path("url"))
    name = relative_path(name, entry.path("name"))
    if name.endswith("/"):
        raise InvalidInput(entry.path("name"), f"expected the name of a file, got {name!r}")
    return (UrlInput(name, url, sha256, adler32.zfill(8) if adler32 else "", size, executable),)


def read_outputs(fields: Fields) -> tuple[OutputRule, ...]:
    rules: list[OutputRule] = []
    for index, value in enumerate(fields.listed("outputs", most=MAX_RULES)):
        where = fields.path(f"outputs[{index}]")
        entry = Fields({"pattern": value} if isinstance(value, str) else value, where, fields.problems)
        pattern = entry.text("pattern", None) or entry.text("path", None)
        optional = bool(entry.take("optional", False))
        to = _destinations(entry)
        entry.finish()
        if not pattern:
            entry.problem("", "expected a glob, or a mapping with `path` and `to`")
            continue
        try:
            rules.append(OutputRule(relative_path(pattern, where), to, optional))
        except InvalidInput as problem:
            fields.problems.append(problem)
            continue
        if pattern.endswith("/") or any(sign in pattern for sign in "*?["):
            for number, destination in enumerate(to):
                if serves_one(destination):
                    entry.problem(
                        f"to[{number}]",
                        f"expected a URL that ends in a slash or has {{name}} in it: {pattern} may find several files",
                    )
    return tuple(rules)


def _destinations(entry: Fields) -> tuple[str, ...]:
    """Where one output goes: each destination once, and at least one where the key is there."""
    to = strings(entry, "to", most=MAX_DESTINATIONS, each=parse_destination, empty_is_wrong=True)
    for number, destination in enumerate(to):
        if destination in to[:number]:
            entry.problem(f"to[{number}]", f"expected each destination once, got {shown_url(destination)} twice")
    return to


def check_sweep(
    sweep: Mapping[str, tuple[str, ...]], outputs: Iterable[OutputRule], urls: Iterable[UrlInput], fields: Fields
) -> None:
    """What holds of URLs together with a sweep: each placeholder means something, and no two jobs of it write to the
    same place."""
    names = [name for name, values in sweep.items() if len(values) > 1]
    for index, rule in enumerate(outputs):
        for number, to in enumerate(rule.to):
            where = f"outputs[{index}].to[{number}]"
            used = _placeholders(to, (*PLACEHOLDERS, *sweep), where, fields)
            missing = [name for name in names if name not in used]
            if missing and to != SANDBOX and "job" not in used and not _named_by(missing, rule, to):
                known = " and ".join(f"{{{name}}}" for name in missing)
                problem = f"the jobs of the sweep would overwrite each other's {rule.pattern}"
                fields.problem(where, f"expected {{job}}, or {known}, in {shown_url(to)}: else {problem}")
    for one in urls:
        _placeholders(one.url, tuple(sweep), "inputs", fields)


def _named_by(missing: Iterable[str], rule: OutputRule, to: str) -> bool:
    """Whether the name of the output, which is in the URL, tells the jobs apart."""
    return not serves_one(to) and all("{" + name + "}" in rule.pattern for name in missing)


def _placeholders(url: str, known: Sequence[str], where: str, fields: Fields) -> set[str]:
    used = set(_PLACEHOLDER.findall(url))
    for name in sorted(used - set(known)):
        choice = ", ".join(f"{{{one}}}" for one in known) or "none here"
        fields.problem(where, f"expected one of the placeholders {choice}, got {{{name}}} in {shown_url(url)}")
    return used


def read_credentials(fields: Fields) -> tuple[str, ...]:
    """The names of the credentials, each once."""
    written = fields.left.get("credentials")
    if isinstance(written, str):
        fields.problem("credentials", f"expected a list of names, as [{written[:80]}], got {shown(written)}")
    names = strings(fields, "credentials", most=20)
    for number, name in enumerate(names):
        if name in names[:number]:
            fields.problem(f"credentials[{number}]", f"expected each name once, got {shown(name)} twice")
    return names


def over_s3(spec: JobSpec) -> str:
    """What of a job goes to or comes from S3, which nothing opens but a credential; empty where nothing does."""
    found = [to for rule in spec.outputs for to in rule.to] + [one.url for one in spec.urls]
    return next((shown_url(url) for url in found if url.startswith("s3://")), "")


#: What is wrong with a job that names no credential for them.
NO_KEYS = f"{{url}} needs a credential of kind s3, and none is named here ({AttemptCode.CREDENTIAL.value})"


def tags_of(outputs: Iterable[OutputRule], urls: Iterable[UrlInput]) -> tuple[str, ...]:
    """The tags of nodes that can do it: those with the client that a storage can only be reached by."""
    roots = [rule for rule in outputs if rule.to and all(to.startswith("root://") for to in rule.to)]
    return (XROOTD_TAG,) if roots or any(one.url.startswith("root://") for one in urls) else ()


Fill = Callable[[str], str]


def fill_rule(rule: OutputRule, fill: Fill) -> OutputRule:
    """The rule of one job of a sweep."""
    return OutputRule(fill(rule.pattern), tuple([fill(to) for to in rule.to]), rule.optional)


def fill_url(one: UrlInput, fill: Fill) -> UrlInput:
    return UrlInput(fill(one.name), fill(one.url), one.sha256, one.adler32, one.size, one.executable)


def check_filled(rules: Iterable[OutputRule], urls: Iterable[UrlInput], fill: Fill, where: str) -> list[InvalidInput]:
    """What the values of a sweep make wrong: a name or a URL that leads elsewhere."""
    checks: list[tuple[Callable[[str, str], Any], str, str]] = []
    for number, rule in enumerate(rules):
        checks.append((relative_path, rule.pattern, f"{where}.outputs[{number}]"))
        checks += [(parse_destination, to, f"{where}.outputs[{number}].to") for to in rule.to if to != SANDBOX]
    for one in urls:
        checks += [(relative_path, one.name, f"{where}.inputs"), (parse_source, one.url, f"{where}.inputs")]
    problems: list[InvalidInput] = []
    for check, text, spot in checks:
        if "{" not in text:
            continue
        try:
            check(fill(text), spot)
        except InvalidInput as problem:
            problems.append(problem)
    return problems
