"""An ARC that answers as a real one does, or as it should not."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

import pytest
import requests
import responses
from requests.structures import CaseInsensitiveDict

from central.elements.arc.client import Client
from central.elements.arc.credentials import Credential
from central.elements.arc.element import ArcElement
from central.elements.arc.jobs import Door
from central.elements.arc.wire import Answer, Wire
from central.elements.host import MOST_PARTS
from central.elements.port import ComputingError, Listed, Standing, Submission, Trouble

T = TypeVar("T")
URL = "https://arc.example:443/arex"
FIRST, SECOND = "0" * 31 + "1", "0" * 31 + "2"
Told = tuple[int, dict[str, str], str]
ALARMS: list[str] = []


@dataclass
class Job:
    name: str
    state: str = "ACCEPTING"
    files: dict[str, bytes] = field(default_factory=dict)
    info: dict[str, object] | None = None  # None: the information system has not seen it
    diag: str = ""


@dataclass
class Arc:
    """An ARC in memory, as far as one is needed here. `broken`: method and end of path → what is answered instead."""

    jobs: dict[str, Job] = field(default_factory=dict)
    broken: dict[tuple[str, str], Told | Exception] = field(default_factory=dict)
    versions: str = '{"version":["1.0","1.1"]}'
    asked: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)

    def answer(self, request: requests.PreparedRequest) -> Told:
        assert request.url
        assert request.method
        path = request.url.removeprefix(f"{URL}/rest")
        self.asked.append(f"{request.method} {path.partition('state=')[0]}")
        self.tokens.add(request.headers.get("Authorization", ""))
        for (method, end), told in self.broken.items():
            if method == request.method and path.endswith(end):
                if isinstance(told, Exception):
                    raise told
                return told
        if not path:
            return 200, {}, self.versions
        body = request.body if isinstance(request.body, bytes) else b""
        return self.about(request.method, path.split("/", 2)[2], body)

    def about(self, method: str, path: str, body: bytes) -> Told:
        if method == "GET" and path.startswith("jobs?state="):
            return 200, {}, _rows([{"id": name, "state": job.state} for name, job in self.jobs.items()])
        if path == "jobs?action=new":
            return (
                201,
                {},
                _rows([self.make(name) for name in re.findall(r"<Name>([^<]*-[0-9a-f]{32})<", body.decode())]),
            )
        if path.startswith("jobs?action="):
            rows = [self.do(path.partition("=")[2], row["id"]) for row in json.loads(body)["job"]]
            return 201, {}, _rows(rows)
        _, name, kind, file = path.split("/", 3)
        job = self.jobs.get(name)
        return (404, {}, "") if job is None else self.file(job, method, kind, file, body)

    def file(self, job: Job, method: str, kind: str, file: str, body: bytes) -> Told:
        if kind == "session" and method == "PUT":
            job.files[file] = body
        elif kind == "session" and method == "DELETE":
            del job.files[file]
        elif kind == "session" and not file:
            return 200, {}, json.dumps({"file": list(job.files)})
        elif kind == "session":
            content = job.files.get(file, b"").decode()
            told = "" if method == "HEAD" else content
            return (200, {"Content-Length": str(len(content))}, told) if content else (404, {}, "")
        lines = {"local": f"jobname={job.name}\n", "input_status": "".join(f"/{name}\n" for name in job.files)}
        return 200, {}, lines.get(file, job.diag)

    def make(self, name: str) -> dict[str, object]:
        self.jobs[made := f"job{len(self.jobs)}"] = Job(name)
        return {"status-code": "201", "reason": "Created", "id": made}

    def do(self, action: str, name: str) -> dict[str, object]:
        if name not in self.jobs:
            return {"status-code": "404", "reason": "Job not found", "id": name, "info_document": ""}
        if action == "clean":
            del self.jobs[name]
        if action == "info":
            told = self.jobs[name].info
            return {"status-code": "200", "id": name, "info_document": {"ComputingActivity": told or {}}}
        return {"status-code": "202", "id": name}


def _rows(rows: list[dict[str, object]]) -> str:
    """As ARC writes a list."""
    return json.dumps({"job": rows[0] if len(rows) == 1 else rows}) if rows else ""


@pytest.fixture
def arc() -> Iterator[Arc]:
    arc = Arc()
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
            mock.add_callback(method, re.compile(re.escape(URL)), arc.answer)
        yield arc


def element(prefix: str = "q") -> ArcElement:
    wire = Wire("", lambda: Credential(token="a-token"), 5)
    return ArcElement(Client(URL, wire), Door(prefix), None, lambda: "it ends soon", ALARMS.append)


def submission(stamp: str = FIRST) -> Submission:
    return Submission(stamp, "#!/bin/sh\n", f"secret of {stamp}")


def run(call: Callable[[ArcElement], Awaitable[T]], made: ArcElement | None = None) -> T:
    async def story() -> T:
        used = made or element()
        try:
            return await call(used)
        finally:
            await used.close()

    return asyncio.run(story())


def trouble(result: object) -> Trouble:
    assert isinstance(result, ComputingError), result
    return result.trouble


def test_submitting_is_one_request_and_a_file_after_the_other(arc: Arc) -> None:
    """All jobs are made in one; each gets its secret and then its script, without which it does not start."""
    results = run(lambda used: used.submit([submission(FIRST), submission(SECOND)]))
    assert results == {FIRST: "job0", SECOND: "job1"}
    assert arc.jobs["job1"] == Job(
        f"q-{SECOND}", files={"secret": f"secret of {SECOND}".encode(), "wrapper.sh": b"#!/bin/sh\n"}
    )
    assert arc.asked.count("POST /1.1/jobs?action=new") == 1
    assert len(arc.asked) == 2 + 2 * 2
    assert arc.tokens == {"Bearer a-token"}


def test_the_list_costs_two_requests_however_long(arc: Arc) -> None:
    """Once ARC's information system knows the jobs; others' are not asked about twice."""
    for number in range(100):
        stamp = f"{number:032x}"
        arc.jobs[f"job{number}"] = Job(f"q-{stamp}", "RUNNING", info={"Name": f"q-{stamp}", "State": "arcrest:QUEUING"})
    arc.jobs["theirs"] = Job("other", "RUNNING", info={"Name": "other"})

    async def twice(used: ArcElement) -> int:
        listed = await used.listing()
        assert {entry.standing for entry in listed} == {Standing.QUEUED}
        assert len(listed) == 100
        arc.asked.clear()
        assert await used.listing() == listed
        return len(arc.asked)

    assert run(twice) == 2


def test_an_alarm_is_sounded_before_anything_is_asked(arc: Arc) -> None:
    """What is wrong with the credential is told each time, also when the list cannot be had because of it."""
    ALARMS.clear()
    arc.broken["GET", ""] = (403, {}, "")
    with pytest.raises(ComputingError):
        run(lambda used: used.listing())
    assert ALARMS == ["it ends soon"]


def test_a_job_is_found_before_the_information_system_knows_it(arc: Arc) -> None:
    """Its name is asked for where it was written down first; another queue's and another central's are not ours."""
    whole = {"secret": b"", "wrapper.sh": b""}
    arc.jobs = {
        "mine": Job(f"q-{FIRST}", "SUBMITTING", whole),
        "theirs": Job(f"q-2-{SECOND}", "SUBMITTING", whole),
        "person": Job("analysis", "SUBMITTING", whole),
    }
    assert run(lambda used: used.listing()) == [Listed(FIRST, "mine", Standing.QUEUED, why="SUBMITTING")]
    assert [entry.reference for entry in run(lambda used: used.listing(), element("q-2"))] == ["theirs"]


def test_an_end_that_the_information_system_has_not_heard_of(arc: Arc) -> None:
    """Its exit code and its reason are asked for where they were written down first, once."""
    arc.jobs["mine"] = Job(
        f"q-{FIRST}", "FAILED", diag="exitcode=7\n", info={"Name": f"q-{FIRST}", "State": "arcrest:OTHER"}
    )

    async def twice(used: ArcElement) -> int:
        [entry] = await used.listing()
        assert (entry.standing, entry.exit_code) == (Standing.ENDED, 7)
        assert entry.why.startswith("FAILED: ")
        arc.asked.clear()
        assert await used.listing() == [entry]
        return len(arc.asked)

    assert run(twice) == 2


FAULTS: list[Told | Exception] = [
    (500, {}, "a fault"),
    (302, {"Location": "https://elsewhere.example"}, ""),
    requests.ConnectionError("refused"),
    requests.ReadTimeout("slow"),
]
NO_JSON: list[Told] = [(200, {}, "<html>"), (200, {}, "[" * 100_000)]


@pytest.mark.parametrize(
    ("end", "told"),
    [
        *(("", told) for told in (*FAULTS, *NO_JSON)),
        *(("action=info", told) for told in (*FAULTS, *NO_JSON)),
        *(("diagnose/local", told) for told in FAULTS),  # any text may be a file of ARC's
    ],
)
def test_a_list_that_cannot_be_had_is_not_empty(arc: Arc, end: str, told: Told | Exception) -> None:
    """Whatever of it fails, the whole did: a job of ours that was left out would be submitted again."""
    arc.jobs["mine"] = Job(f"q-{FIRST}", "RUNNING")
    method = "POST" if "action" in end else "GET"
    arc.broken[method, end] = told
    with pytest.raises(ComputingError):
        run(lambda used: used.listing())


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ((401, {}, ""), Trouble.CREDENTIAL),
        ((403, {}, ""), Trouble.CREDENTIAL),
        ((500, {}, "No more jobs allowed"), Trouble.FULL),
        ((500, {}, "fault"), Trouble.UNREACHABLE),
        ((503, {}, ""), Trouble.UNREACHABLE),
        ((400, {}, "nonsense"), Trouble.REFUSED),
        (requests.ConnectTimeout("slow"), Trouble.UNREACHABLE),
        (requests.exceptions.SSLError("sslv3 alert certificate expired"), Trouble.CREDENTIAL),
        (requests.exceptions.SSLError("certificate verify failed"), Trouble.UNREACHABLE),
    ],
)
def test_why_nothing_was_taken(arc: Arc, told: Told | Exception, expected: Trouble) -> None:
    """What a refusal of the whole means, it means for each."""
    arc.broken["POST", "jobs?action=new"] = told
    results = run(lambda used: used.submit([submission(FIRST), submission(SECOND)]))
    assert {trouble(result) for result in results.values()} == {expected}


def test_jobs_are_not_made_twice_when_the_connection_breaks(arc: Arc) -> None:
    """What else is asked is asked once more; to make jobs is not."""
    arc.broken["POST", "jobs?action=new"] = requests.ConnectionError("gone")
    run(lambda used: used.submit([submission()]))
    assert arc.asked.count("POST /1.1/jobs?action=new") == 1
    arc.broken = {("POST", "jobs?action=kill"): requests.ConnectionError("gone")}
    assert list(run(lambda used: used.cancel(["job0"]))) == ["job0"]
    assert arc.asked.count("POST /1.1/jobs?action=kill") == 2


@pytest.mark.parametrize("file", ["session/secret", "session/wrapper.sh"])
def test_a_job_without_its_files_is_completed(arc: Arc, file: str) -> None:
    """It is not listed; submitted again, also by another central, the pilot gets that job, and new files of it."""
    arc.broken["PUT", file] = (403, {}, "not now")
    assert trouble(run(lambda used: used.submit([submission()]))[FIRST]) is Trouble.CREDENTIAL
    arc.broken.clear()

    async def again(used: ArcElement) -> None:
        assert await used.listing() == []
        assert await used.submit([replace(submission(), secret="new")]) == {FIRST: "job0"}
        assert [entry.stamp for entry in await used.listing()] == [FIRST]

    run(again)
    assert list(arc.jobs) == ["job0"]
    assert arc.jobs["job0"].files["secret"] == b"new"


def test_a_refused_file_is_no_refused_pilot(arc: Arc) -> None:
    """The job is there: giving the pilot up would leave it behind."""
    arc.broken["PUT", "session/secret"] = (404, {}, "")
    assert trouble(run(lambda used: used.submit([submission()]))[FIRST]) is Trouble.UNREACHABLE


def test_of_two_jobs_of_one_stamp_the_one_that_lives(arc: Arc) -> None:
    """Each stamp is listed once."""
    arc.jobs = {"a": Job(f"q-{FIRST}", "KILLED"), "b": Job(f"q-{FIRST}", "RUNNING"), "c": Job(f"q-{FIRST}", "FAILED")}
    assert [(entry.reference, entry.standing) for entry in run(lambda used: used.listing())] == [
        ("b", Standing.RUNNING)
    ]


def test_cancelling_what_is_over(arc: Arc) -> None:
    """It is no failure, and neither is an empty reference."""
    arc.jobs["mine"] = Job(f"q-{FIRST}", "RUNNING")
    assert run(lambda used: used.cancel(["mine", "gone", ""])) == {}
    assert run(lambda used: used.cancel([])) == {}


def test_output_and_what_is_forgotten(arc: Arc) -> None:
    """What it printed can be had until it is forgotten; then it is not listed any more."""
    arc.jobs["mine"] = Job(f"q-{FIRST}", "FINISHED", {"output": b"last words"})
    assert run(lambda used: used.output(FIRST, "mine")) == b"last words"
    run(lambda used: used.forget(FIRST, "mine"))
    assert run(lambda used: used.output(FIRST, "mine")) == b""
    assert run(lambda used: used.listing()) == []


@pytest.mark.parametrize("reference", ["../../etc", "a/b", "a?b", ""])
def test_a_reference_that_is_none(arc: Arc, reference: str) -> None:
    """It does not get into a URL."""
    with pytest.raises(ComputingError) as raised:
        run(lambda used: used.output(FIRST, reference))
    assert raised.value.trouble is Trouble.REFUSED
    assert arc.asked == []


@pytest.mark.parametrize(
    ("versions", "used"), [('{"version":"1.0"}', "1.0"), ('{"version":["1.0","1.1","2.0"]}', "1.1")]
)
def test_the_best_version_that_both_speak(arc: Arc, versions: str, used: str) -> None:
    """It is asked for once."""
    arc.versions = versions

    async def twice(made: ArcElement) -> None:
        await made.listing()
        await made.listing()

    run(twice)
    assert [asked.split("/")[1] for asked in arc.asked if "/" in asked] == [used] * 2
    assert arc.asked.count("GET ") == 1


@pytest.mark.parametrize("versions", ['{"version":"2.0"}', "{}", "[]", "3"])
def test_no_version_that_is_known(arc: Arc, versions: str) -> None:
    """So it says."""
    arc.versions = versions
    with pytest.raises(ComputingError, match=r"expected one of 1\.1, 1\.0"):
        run(lambda used: used.listing())


def test_authorities_are_a_file_or_a_folder() -> None:
    """A device, which would be read without end, is none."""
    with pytest.raises(ComputingError, match="authorities in /dev/zero cannot be read") as caught:
        Wire("/dev/zero", lambda: Credential(token="a-token"), 5).ask("GET", URL)
    assert caught.value.trouble is Trouble.CREDENTIAL


def test_an_answer_that_would_take_minutes_to_read_is_not_read() -> None:
    """Millions of empty parts keep the central from nothing else."""
    answer = Answer(200, "OK", CaseInsensitiveDict(), b"[" + b"{}," * MOST_PARTS + b"{}]")
    with pytest.raises(ComputingError, match="too much to read"):
        answer.json()
