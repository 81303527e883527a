"""Submitting jobs: the whole request is checked, and either all of it is stored or nothing."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from central.configuration.expected import expected
from central.events import JobsSubmitted
from central.explanations import explaining
from central.explanations.prospects import no_pilots
from central.records import NewJobs, Submitted
from central.serving.http import Call, Route
from central.trust.delivering import problem_of
from central.trust.rules import Who
from pilot.errors import InvalidInput, InvalidJob, Refusal
from pilot.jobfile import MAX_JOBS, JobDocument, fill, members, parse, relative_path
from pilot.jobtransfers import NO_KEYS, check_filled, over_s3
from pilot.protocol import InputFile, Needs
from pilot.views import JobRange, SubmitReply, SubmitRequest

#: Bytes of one request: 100,000 small documents, or fewer large ones.
MAX_SUBMISSION = 64 * 1024 * 1024
#: Problems told at once; with more of them something is wrong as a whole.
MAX_PROBLEMS = 1000
#: Documents or jobs worked on before others get a turn.
_TURN = 200
_MAX_KEY = 200


async def submit(call: Call[SubmitRequest]) -> SubmitReply:
    """Check every document and store the jobs that they are."""
    central, person = call.central, call.person
    key = _idempotency_key(call.headers.get("idempotency-key"))
    documents = await _parse(call.message.jobs)
    await _check_credentials(call, documents)
    new = await _Rendering(call, documents).run()
    digest = hashlib.sha256(msgspec.json.encode(call.message.jobs, order="sorted")).hexdigest()
    submitted = await _may_wait(call, new, key, digest) or await central.store.submit(person, new, key, digest)
    ranges = tuple(JobRange(first, count) for first, count in submitted.first_ids)
    if not submitted.again:
        central.dispatcher.jobs_added(submitted.added)
        central.metrics.submitted.inc(sum(one.count for one in ranges))
        events = [JobsSubmitted(one.first, one.count, person.user, person.group) for one in ranges]
        central.hub.publish((person.community,), *events)
    return SubmitReply(ranges, await _warnings(call, documents))


async def _may_wait(
    call: Call[SubmitRequest], new: Sequence[NewJobs], key: str | None, digest: str
) -> Submitted | None:
    """Raises ``too-large`` when this person has so many jobs that wait; not for what is known, whose answer it is."""
    central, person = call.central, call.person

    async def count() -> int:
        waiting = central.dispatcher.queues.queues((person.community,))
        return sum(jobs for task, jobs in waiting if task.owner == person.user)

    try:
        await central.waiting.admit(person, sum(len(one.members) for one in new), count)
    except Refusal:
        if key is not None and (before := await central.store.submitted_before(person, key, digest)):
            return before
        raise
    return None


def _idempotency_key(header: str | None) -> str | None:
    if header is None:
        return None
    if not 1 <= len(header) <= _MAX_KEY or not header.isprintable():
        raise InvalidInput("Idempotency-Key", f"expected 1 to {_MAX_KEY} printable characters")
    return header


async def _parse(documents: Sequence[Mapping[str, Any]]) -> list[JobDocument]:
    """Read all documents. Raises `InvalidJob` with the problems of every one."""
    problems: list[InvalidInput] = []
    parsed: list[JobDocument] = []
    total = 0
    for index, document in enumerate(documents):
        if index % _TURN == _TURN - 1:
            await asyncio.sleep(0)
        try:
            parsed.append(parse(document, f"jobs[{index}]"))
            total += parsed[-1].count
        except InvalidJob as error:
            problems.extend(error.problems)
            if len(problems) >= MAX_PROBLEMS:
                break
    if not documents:
        problems.append(InvalidInput("jobs", "expected at least one job"))
    if total > MAX_JOBS:
        problems.append(InvalidInput("jobs", f"expected at most {MAX_JOBS:,} jobs in one request, got {total:,}"))
    if problems:
        raise InvalidJob(tuple(problems[:MAX_PROBLEMS]))
    return parsed


class _Rendering:
    """Puts the members of sweeps together with their inputs, and looks whether every input is there."""

    def __init__(self, call: Call[SubmitRequest], documents: Sequence[JobDocument]) -> None:
        self._sandboxes = call.central.sandboxes
        self._community = call.person.community
        self._documents = documents
        self._problems: list[InvalidInput] = []

    async def run(self) -> list[NewJobs]:
        """Raises `InvalidJob` with every problem."""
        new = [await self._document(index, document) for index, document in enumerate(self._documents)]
        if self._problems:
            raise InvalidJob(tuple(self._problems[:MAX_PROBLEMS]))
        return new

    async def _document(self, index: int, document: JobDocument) -> NewJobs:
        where = f"jobs[{index}]"
        files = await self._files(where, document)
        differ = any(_varies(name, document) for name in document.inputs)
        rendered: list[tuple[Mapping[str, str], tuple[InputFile, ...] | None]] = []
        shared: tuple[InputFile, ...] | None = None
        for number, values in enumerate(members(document)):
            if number % _TURN == _TURN - 1:
                await asyncio.sleep(0)
            if len(self._problems) >= MAX_PROBLEMS:
                break
            self._check_outputs(where, document, values)
            if shared is None or differ:
                shared = tuple(self._inputs(where, document, values, files))
            rendered.append((values, shared if differ else None))
        spec = document.spec if differ or not shared else replace(document.spec, inputs=shared)
        return NewJobs(spec, rendered)

    async def _files(self, where: str, document: JobDocument) -> dict[str, InputFile]:
        """The files that the document names a digest for, each known to the community."""
        files: dict[str, InputFile] = {}
        for name, file in document.files.items():
            spot = f"{where}.files.{name}"
            size = await self._sandboxes.size(self._community, file.sha256)
            if size is None:
                where_to = f"/v1/sandboxes/{file.sha256}"
                self._problem(spot, f"nobody of {self._community} has uploaded it yet: PUT {where_to} first")
                continue
            try:
                files[relative_path(name, spot)] = replace(file, size=size)
            except InvalidInput as problem:
                self._problems.append(problem)
        return files

    def _inputs(
        self, where: str, document: JobDocument, values: Mapping[str, str], files: Mapping[str, InputFile]
    ) -> Iterator[InputFile]:
        executable = fill(document.executable, values) if document.executable else None
        for number, template in enumerate(document.inputs):
            spot = f"{where}.inputs[{number}]"
            try:
                name = relative_path(fill(template, values), spot)
            except InvalidInput as problem:
                self._problems.append(problem)
                continue
            file = files.get(name)
            if file is not None:
                yield replace(file, name=name, executable=file.executable or name == executable)
            elif not any(problem.where == f"{where}.files.{name}" for problem in self._problems):
                self._problem(spot, f"expected the digest of {name!r} in `files`")

    def _check_outputs(self, where: str, document: JobDocument, values: Mapping[str, str]) -> None:
        """A value may lead no file out of the job's directory, and nowhere else than a URL says."""
        if values:
            spec = document.spec
            self._problems += check_filled(spec.outputs, spec.urls, partial(fill, values=values), where)

    def _problem(self, where: str, problem: str) -> None:
        self._problems.append(InvalidInput(where, problem))


async def _check_credentials(call: Call[SubmitRequest], documents: Sequence[JobDocument]) -> None:
    """Every credential that a job names is there and good now. Raises `InvalidJob` with every one that is not."""
    wanted = {name for document in documents for name in document.spec.credentials}
    if not wanted:
        return
    central, who = call.central, call.person
    rows = {row.name: row for row in await central.store.credentials(who.community, who.user, sorted(wanted))}
    now = central.wall()
    why = {name: "does not exist" if name not in rows else problem_of(rows[name], now) for name in wanted}
    problems = [
        InvalidInput(
            f"jobs[{index}].credentials[{number}]",
            f"your credential {name[:100]!r} {why[name]}: `pilotage credential set` keeps one",
        )
        for index, document in enumerate(documents)
        for number, name in enumerate(document.spec.credentials)
        if why[name]
    ]
    for index, document in enumerate(documents):
        kinds = {rows[name].kind for name in document.spec.credentials if name in rows}
        if "s3" not in kinds and (url := over_s3(document.spec)):
            problems.append(InvalidInput(f"jobs[{index}].credentials", NO_KEYS.format(url=url)))
    if problems:
        raise InvalidJob(tuple(problems[:MAX_PROBLEMS]))


def _varies(text: str, document: JobDocument) -> bool:
    return any("{" + name + "}" in text for name in document.sweep)


async def _warnings(call: Call[SubmitRequest], documents: Sequence[JobDocument]) -> tuple[str, ...]:
    """What no configured queue could ever satisfy, and what none will as long as those that could are paused."""
    offers = [expected(queue) for queue in call.central.settings.queues]
    paused = await explaining.paused(call.central)
    known: dict[Needs, str | None] = {}
    found: dict[str, None] = {}
    for index, document in enumerate(documents):
        needs = document.spec.needs
        if needs not in known:
            known[needs] = no_pilots(needs, call.person.community, offers, paused)
            if len(known) % _TURN == 0:
                await asyncio.sleep(0)
        if sentence := known[needs]:
            found[f"jobs[{index}]: {sentence}"] = None
        if len(found) >= MAX_PROBLEMS:
            break
    return tuple(found)


ROUTES = (
    Route(
        "POST",
        "/v1/jobs",
        submit,
        (Who.MEMBER,),
        "Submit jobs: one, many, or sweeps",
        message=SubmitRequest,
        reply=SubmitReply,
        headers={"Idempotency-Key": "a text of your own; the same request under it is stored once"},
        bound=MAX_SUBMISSION,
        status=201,
    ),
)
