"""Logs over the wire: pushed in chunks, read in ranges, followed as they grow."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace

import pytest

from central.trust import keys
from central.trust.seal import Ticket
from pilot.errors import Refusal
from pilot.looking import LogMatches
from pilot.protocol import MAX_BOOT_LOG, MAX_LOG_CHUNK, Lease, LogReply
from pilot.states import Outcome, Phase
from pilot.views import PilotDetail
from tests.integration.running_central import Person, RunningCentral, until
from tests.integration.wire_pilot import OFFER, SignedPilot, decoded

NOT_UTF8 = b"caf\xe9 \xff\xfe\x00 end\n"


def refused(call: Callable[[], object]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        call()
    return caught.value


@pytest.fixture
def ann(central: RunningCentral) -> Person:
    return central.person("ann")


@pytest.fixture
def pilot(central: RunningCentral) -> Iterator[SignedPilot]:
    pilot = central.pilot()
    yield pilot
    pilot.bye()


@dataclass(frozen=True)
class Job:
    """A job that a pilot has."""

    id: int
    lease: Lease
    stream: str


@pytest.fixture
def job(ann: Person, pilot: SignedPilot) -> Iterator[Job]:
    number = ann.submit_one()
    (lease,) = pilot.match().leases
    assert lease.job == number
    yield Job(number, lease, f"job-{number}-1-stdout")
    ann.say("/v1/jobs/kill", {"selection": {"ids": [number]}}, dict)


@dataclass(frozen=True)
class Heard:
    """One event of a stream."""

    name: str
    data: bytes
    id: int | None


def follow(person: Person, path: str, last: int | None = None) -> Generator[Heard, None, None]:
    """The events of a stream, to its end."""
    headers = {"Accept": "text/event-stream"}
    if last is not None:
        headers["Last-Event-ID"] = str(last)
    with closing(person.get(path, headers=headers, stream=True)) as answer:
        assert answer.status_code == 200, answer.text
        fields: dict[str, str] = {}
        for line in answer.iter_lines(decode_unicode=True):
            if line.startswith(":"):
                continue
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields:
                number = int(fields["id"]) if "id" in fields else None
                yield Heard(fields["event"], fields["data"].encode(), number)
                fields = {}


def text(events: list[Heard]) -> bytes:
    return b"".join(base64.b64decode(event.data) for event in events if event.name == "log")


# -- pushing and reading ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_bytes_arrive_as_they_were(ann: Person, pilot: SignedPilot, job: Job, encoding: str) -> None:
    """Bytes that are no UTF-8 come back as they were, compressed on the way or not."""
    body = gzip.compress(NOT_UTF8) if encoding == "gzip" else NOT_UTF8
    assert pilot.log(job.stream, 0, body, encoding=encoding).next == len(NOT_UTF8)
    answer = ann.get(f"/v1/jobs/{job.id}/logs/stdout")
    assert answer.content == NOT_UTF8
    assert answer.headers["Pilotage-Complete"] == "false"
    part = ann.get(f"/v1/jobs/{job.id}/logs/stdout?offset=3&length=4")
    assert part.content == NOT_UTF8[3:7]
    assert (part.headers["Pilotage-Next"], part.headers["Pilotage-Size"]) == ("7", str(len(NOT_UTF8)))


def test_repeats_and_holes(pilot: SignedPilot) -> None:
    """A chunk sent twice is kept once; one behind a hole is refused with the offset to go on from."""
    assert pilot.log("pilot", 0, b"abc").next == 3
    assert pilot.log("pilot", 0, b"abcd").next == 4
    found = refused(lambda: pilot.log("pilot", 9, b"x"))
    assert (found.type, found.expected, found.transient) == ("gap", "4", True)


def test_chunks_have_bounds(pilot: SignedPilot) -> None:
    """A chunk larger than the bound, also once unpacked, is too large, and says what the bound is."""
    for body, encoding in (
        (bytes(MAX_LOG_CHUNK + 1), "identity"),
        (bytes(2 * MAX_LOG_CHUNK), "identity"),
        (gzip.compress(bytes(50 * MAX_LOG_CHUNK)), "gzip"),
    ):
        found = refused(lambda body=body, encoding=encoding: pilot.log("pilot", 0, body, encoding=encoding))  # type: ignore[misc]
        assert found.type == "too-large"
        assert found.expected
    assert refused(lambda: pilot.log("pilot", 0, b"plain", encoding="gzip")).type == "invalid"
    assert refused(lambda: pilot.log("pilot", -1, b"x")).problems[0].where == "offset"


@pytest.mark.parametrize("name", ["..", "%2e%2e%2fpilot", ".hidden", "a b", "A", "x" * 101])
def test_a_stream_cannot_lead_elsewhere(pilot: SignedPilot, name: str) -> None:
    """A stream's name is one plain word; anything else is refused."""
    assert refused(lambda: pilot.log(name, 0, b"x")).type in ("invalid", "not-found", "bad-signature")


def test_pilots_write_to_their_own_streams(central: RunningCentral, pilot: SignedPilot) -> None:
    """A pilot cannot write into another's log."""
    other = central.pilot()
    other_stamp, other.stamp = other.stamp, pilot.stamp
    assert refused(lambda: other.log("pilot", 0, b"forged")).type in ("forbidden", "bad-signature")
    other.stamp = other_stamp
    other.bye()


def test_a_ticket_opens_the_boot_log_of_its_pilot(central: RunningCentral) -> None:
    """Before enrolment the ticket appends to `boot` of its own stamp, up to the bound, and opens nothing else."""
    stamp, _ = central.plan()
    path = central.folder / "private" / "keys.json"
    ring = keys.ring_of(keys.read(path.read_bytes(), str(path)))
    nobody = central.person(None)
    ticket = {"Authorization": f"Ticket {ring.seal(Ticket(stamp))}"}

    def push(path: str, content: bytes) -> LogReply:
        return decoded(nobody.put(path, data=content, headers=ticket), LogReply)

    assert push(f"/v1/logs/{stamp}/boot?offset=0", b"finding a Python\n").next == 17
    assert refused(lambda: push(f"/v1/logs/{stamp}/pilot?offset=0", b"x")).type == "forbidden"
    assert refused(lambda: push(f"/v1/logs/{'0' * 32}/boot?offset=0", b"x")).type == "forbidden"
    push(f"/v1/logs/{stamp}/boot?offset=17", b"x" * (MAX_BOOT_LOG - 17))
    assert refused(lambda: push(f"/v1/logs/{stamp}/boot?offset={MAX_BOOT_LOG}", b"x")).type == "too-large"
    for method, path in (
        ("POST", f"/v1/pilots/{stamp}/steps"),
        ("GET", "/v1/jobs"),
        ("GET", f"/v1/sandboxes/{'0' * 64}"),
    ):
        assert nobody.request(method, path, headers=ticket).status_code == 403
    log = central.person("ann").get(f"/v1/pilots/{stamp}/logs/boot?length=17")
    assert log.content == b"finding a Python\n"


def test_what_payloads_print_is_read_by_way_of_their_jobs(
    central: RunningCentral, ann: Person, pilot: SignedPilot, job: Job
) -> None:
    """A pilot's own log is its communities'; a payload's is for those who see its job, and is not listed for others."""
    pilot.log("pilot", 0, b"the pilot's own words\n")
    pilot.log(job.stream, 0, b"the payload's\n")
    assert ann.get(f"/v1/pilots/{pilot.stamp}/logs/pilot").content == b"the pilot's own words\n"
    assert ann.get(f"/v1/pilots/{pilot.stamp}/logs/{job.stream}").status_code == 404
    assert set(ann.read(f"/v1/pilots/{pilot.stamp}", PilotDetail).streams) == {"pilot"}
    oli = central.person("oli")
    assert oli.get(f"/v1/pilots/{pilot.stamp}/logs/{job.stream}").content == b"the payload's\n"
    assert oli.read(f"/v1/pilots/{pilot.stamp}", PilotDetail).streams == {"pilot": 22, job.stream: 14}
    assert central.person("dan").get(f"/v1/pilots/{pilot.stamp}/logs/pilot").status_code == 404


def test_a_reader_knows_the_end(ann: Person, pilot: SignedPilot, job: Job) -> None:
    """Once an attempt has ended, the sizes that it reported say whether all is there; no size is an empty log."""
    pilot.log(job.stream, 0, b"half")
    pilot.succeed(job.lease, log_sizes={job.stream: 8})
    path = f"/v1/jobs/{job.id}/logs"
    assert ann.get(f"{path}/stdout").headers["Pilotage-Complete"] == "false"
    pilot.log(job.stream, 4, b"half")
    assert ann.get(f"{path}/stdout").headers["Pilotage-Complete"] == "true"
    stderr = ann.get(f"{path}/stderr")
    assert (stderr.content, stderr.headers["Pilotage-Complete"]) == (b"", "true")
    assert ann.get(f"{path}/stdin").status_code == 404


# -- following --------------------------------------------------------------------------------------------------------


def test_a_follower_hears_what_is_printed_and_the_end(
    ann: Person, central: RunningCentral, pilot: SignedPilot, job: Job
) -> None:
    """Each chunk reaches a follower as it comes; the pilot is told that somebody reads; the end carries the outcome."""
    path = f"/v1/jobs/{job.id}/logs/stdout"
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(lambda: list(follow(central.person("ann"), path)))
        until(lambda: pilot.heartbeat().followed == (job.stream,), "the pilot to hear of the reader")
        assert pilot.log(job.stream, 0, NOT_UTF8).followed
        pilot.log(job.stream, len(NOT_UTF8), b"more\n", last=True)
        pilot.succeed(job.lease, log_sizes={job.stream: len(NOT_UTF8) + 5})
        events = following.result(20)
    assert text(events) == NOT_UTF8 + b"more\n"
    assert events[-1].name == "end"
    assert json.loads(events[-1].data)["size"] == len(NOT_UTF8) + 5
    assert pilot.heartbeat().followed == ()
    (last,) = [event for event in follow(ann, path) if event.name == "end"]
    assert json.loads(last.data) == {"size": len(NOT_UTF8) + 5, "attempt": 1, "outcome": "success"}


def test_a_follower_goes_on_where_it_was(ann: Person, pilot: SignedPilot, job: Job) -> None:
    """With the last id that it saw a follower hears the rest and nothing twice."""
    pilot.log(job.stream, 0, b"first ")
    pilot.log(job.stream, 6, b"second", last=True)
    path = f"/v1/jobs/{job.id}/logs/stdout"
    whole = list(follow(ann, path))
    assert [event.id for event in whole if event.name == "log"][-1] == 12
    assert text(list(follow(ann, path, last=6))) == b"second"
    assert text(list(follow(ann, f"{path}?offset=9"))) == b"ond"
    pilot.succeed(job.lease, log_sizes={job.stream: 12})


def test_a_follower_may_come_before_the_job_runs(central: RunningCentral, ann: Person, pilot: SignedPilot) -> None:
    """Following a job that waits begins when its attempt does; a job that is killed first ends the stream."""
    number, doomed = ann.submit_one(), ann.submit_one()
    ann.say("/v1/jobs/hold", {"selection": {"ids": [doomed]}}, dict)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: list(follow(central.person("ann"), f"/v1/jobs/{number}/logs/stdout")))
        second = pool.submit(lambda: list(follow(central.person("ann"), f"/v1/jobs/{doomed}/logs/stdout")))
        ann.say("/v1/jobs/kill", {"selection": {"ids": [doomed]}}, dict)
        (lease,) = pilot.match().leases
        stream = f"job-{number}-1-stdout"
        pilot.log(stream, 0, b"at last\n")
        pilot.report(lease, Phase.ENDED, outcome=Outcome.SUCCESS, exit_code=0, log_sizes={stream: 8})
        assert text(first.result(20)) == b"at last\n"
        assert [event.name for event in second.result(20)] == ["end"]


def test_a_follower_must_see_the_job(central: RunningCentral, job: Job, pilot: SignedPilot) -> None:
    """A follower of another community is told that there is no such job, and not left waiting."""
    dan = central.person("dan")
    answer = dan.get(f"/v1/jobs/{job.id}/logs/stdout", headers={"Accept": "text/event-stream"})
    assert answer.status_code == 404
    pilot.succeed(job.lease)


def watch(person: Person, last: Callable[[Heard], bool]) -> list[Heard]:
    """What somebody hears of everything that happens, up to the event that is the last."""
    heard: list[Heard] = []
    with closing(follow(person, "/v1/events")) as events:
        for event in events:
            heard.append(event)
            if last(event):
                break
    return heard


def test_events_tell_what_happens(central: RunningCentral, ann: Person, pilot: SignedPilot) -> None:
    """Who watches hears of the jobs of the own community, and of no other's."""
    dan = central.person("dan")

    def run_one() -> bool:
        ann.submit_one()
        for lease in pilot.match(most=100).leases:
            pilot.succeed(lease)
        dan.submit_one()
        return mine.done() and theirs.done()

    with ThreadPoolExecutor(2) as pool:
        mine = pool.submit(watch, central.person("ben"), lambda event: b'"state":"done"' in event.data)
        theirs = pool.submit(watch, central.person("dan"), lambda event: True)
        until(run_one, "both to hear something")
    assert {event.name for event in mine.result()} <= {"job", "jobs"}
    assert [json.loads(event.data).get("state") for event in mine.result() if event.name == "job"][-1] == "done"
    (event,) = theirs.result()
    assert json.loads(event.data)["owner"] == "dan"


def test_events_of_a_pilot_of_several_communities_stay_apart(central: RunningCentral, ann: Person) -> None:
    """What becomes of a job is told to its community alone, also where its pilot may serve others: starts, ends, and
    what is given back."""
    both = ("physics", "biology")
    pilot = central.pilot(queue="shared", communities=both, offer=replace(OFFER, queue="shared", communities=both))
    dan = central.person("dan")
    for who in (ann, dan):  # what other tests have left
        who.post("/v1/jobs/kill", json={"selection": {"states": ["waiting"]}})

    def run_one() -> bool:
        number = ann.submit_one()
        (lease,) = pilot.match().leases
        assert lease.job == number
        pilot.release(lease)
        (lease,) = pilot.match().leases
        pilot.succeed(lease)
        dan.submit_one(name="mark")
        return mine.done() and theirs.done()

    with ThreadPoolExecutor(2) as pool:
        mine = pool.submit(watch, central.person("ben"), lambda event: b'"state":"done"' in event.data)
        theirs = pool.submit(watch, dan, lambda event: b'"owner":"dan"' in event.data)
        until(run_one, "both to hear something")
    states = [json.loads(event.data)["state"] for event in mine.result() if event.name == "job"]
    assert states[-1] == "done"
    assert {"matched", "waiting"} <= set(states)
    assert [event for event in theirs.result() if event.name == "job"] == []
    dan.post("/v1/jobs/kill", json={"selection": {"states": ["waiting"]}})
    pilot.bye()


# -- looking for lines ------------------------------------------------------------------------------------------------


def test_lines_are_looked_for_at_the_central(ann: Person, pilot: SignedPilot, job: Job) -> None:
    """A member gets the lines that match with their offsets, and where to look on; a line may come in two chunks."""
    pilot.log(job.stream, 0, b"one\nerror: tw")
    path = f"/v1/jobs/{job.id}/logs/stdout/search"
    first = decoded(ann.get(f"{path}?grep=^error"), LogMatches)
    assert [(line.offset, line.text) for line in first.lines] == [(4, "error: tw")]
    assert (first.next, first.size, first.complete, first.attempt) == (4, 13, True, 1)
    more = b"o\nERROR\n" + b"x" * 2_000_000 + b"\nerror: last\n"
    for at in range(0, len(more), 900_000):
        pilot.log(job.stream, 13 + at, more[at : at + 900_000])
    rest = decoded(ann.get(f"{path}?grep=error&ignore_case=true&offset={first.next}&most=2"), LogMatches)
    assert [line.text for line in rest.lines] == ["error: two", "ERROR"]
    assert not rest.complete
    last = decoded(ann.get(f"{path}?grep=ERROR&ignore_case=1&offset={rest.next}"), LogMatches)
    assert [line.text for line in last.lines] == ["error: last"]
    assert last.complete


def test_a_search_that_cannot_be_is_refused(ann: Person, pilot: SignedPilot, job: Job) -> None:
    """A pattern that is none is told so with its field; whoever may not read a log may not search it."""
    answer = ann.get(f"/v1/jobs/{job.id}/logs/stdout/search?grep=(")
    assert answer.status_code == 422 or answer.status_code == 400
    assert "grep: expected a regular expression" in answer.text
    assert ann.get(f"/v1/jobs/{job.id}/logs/pilot/search?grep=x").status_code == 404
    assert ann.get(f"/v1/pilots/{pilot.stamp}/logs/{job.stream}/search?grep=x").status_code == 404
    pilot.log("pilot", 0, b"said by the pilot\n")
    found = decoded(ann.get(f"/v1/pilots/{pilot.stamp}/logs/pilot/search?grep=said"), LogMatches)
    assert [line.text for line in found.lines] == ["said by the pilot"]
