"""Several centrals over one PostgreSQL database, right without a coordinator: what one knows, all know."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise

import pytest

from pilot.credential import CredentialView
from pilot.errors import Refusal
from pilot.protocol import Acknowledgement, CredentialVersions, Lease, attempt_stream
from pilot.queues import QueuePage
from pilot.renewals import CredentialsReply, CredentialsRequest
from pilot.states import JobState, OrderVerb, Phase
from pilot.views import JobExplanation, OrderReply, VerbReply
from pilotage import Client
from tests import postgres
from tests.integration.running_central import RunningCentral, token_of, until
from tests.integration.several import CLOCK, Pair, another, at, first_central
from tests.integration.wire_pilot import SignedPilot, decoded, held

pytestmark = pytest.mark.skipif(bool(postgres.missing()), reason=postgres.missing())

#: Seconds within which a word gets around, a twentieth of one on an idle machine. A central looks by itself after 10.
SOON = 9.0


LIMIT = """
[[limits]]
name = "tau-at-once"
community = "physics"
group = "tau"
running = 5
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two centrals, ten minutes apart by their own clocks."""
    folder = tmp_path_factory.mktemp("pair")
    (folder / "one").mkdir()
    one = first_central(folder / "one", postgres.cluster().database(), more=LIMIT)
    two = another(one, folder / "two", (CLOCK,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PILOTAGE_TEST_SKEW", "600")
        one.start()
        two.start()
    yield Pair(one, two)
    one.close()
    two.close()


def submit_at(central: RunningCentral, **job: object) -> int:
    return central.person("ann").submit_one(**job)


def refused(ask: Callable[[], object]) -> str:
    """How something is refused; empty when it is not."""
    try:
        ask()
    except Refusal as refusal:
        return refusal.type
    return ""


# -- matching ---------------------------------------------------------------------------------------------------------


def test_a_held_request_is_woken_by_a_job_submitted_elsewhere(pair: Pair) -> None:
    """A pilot that waits at one central gets at once what somebody submits at the other, also in a queue new to it."""
    pilot = pair.one.pilot()
    with ThreadPoolExecutor(1) as pool:
        for name in ("a queue of its own", "the same queue again"):
            waiting = pool.submit(pilot.match, wait=25.0)
            until(lambda: "held_requests 1.0" in pair.one.person("oli").get("/metrics").text, "the request to be held")
            began = time.monotonic()
            job = submit_at(pair.two, name=name, needs={"memory": "1 GB"})
            (lease,) = waiting.result(30).leases
            assert lease.job == job
            assert time.monotonic() - began < SOON
            pilot.succeed(lease)
    pilot.bye()


def test_a_job_that_comes_back_at_one_is_given_out_at_the_other(pair: Pair) -> None:
    """A lease given back through one central wakes who waits at the other."""
    job = submit_at(pair.one, needs={"memory": "2 GB"})
    pilot, other = pair.one.pilot(), pair.two.pilot()
    (lease,) = pilot.match().leases
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(other.match, wait=25.0)
        until(lambda: "held_requests 1.0" in pair.two.person("oli").get("/metrics").text, "the request to be held")
        pilot.release(lease)
        (again,) = waiting.result(30).leases
    assert (again.job, again.attempt) == (job, 2)
    other.succeed(again)
    for one in (pilot, other):
        one.bye()


def test_a_number_answered_by_one_gets_the_same_answer_from_the_other(pair: Pair) -> None:
    """A pilot whose answer got lost repeats its request at the other central, and has the same leases."""
    job = submit_at(pair.one, needs={"memory": "3 GB"})
    pilot = pair.one.pilot()
    (lease,) = pilot.match(number=1).leases
    (same,) = at(pilot, pair.two).match(number=1).leases
    assert (same.job, same.attempt) == (lease.job, lease.attempt) == (job, 1)
    pilot.succeed(same)
    pilot.bye()


def test_a_credential_set_at_one_is_told_by_the_other(pair: Pair) -> None:
    """The pilot that holds such an attempt hears of the newer one with a heartbeat, and gets it, from the other."""

    def keep(token: str) -> None:
        body = json.dumps({"kind": "bearer", "values": {"token": token}})
        decoded(pair.one.person("ann").put("/v1/credentials/eos", data=body), CredentialView)

    keep("correct-horse-battery")
    job = submit_at(pair.one, needs={"memory": "4 GB"}, credentials=["eos"])
    pilot = pair.two.pilot()
    (lease,) = pilot.match().leases
    assert lease.job == job
    assert told(pilot, lease).get("eos", "") in ("", lease.credentials[0].version)
    keep("another-horse-battery")
    began = time.monotonic()
    version = until(lambda: newer(told(pilot, lease), lease), "the word of the other central")
    assert time.monotonic() - began < SOON
    question = CredentialsRequest((CredentialVersions(lease.job, 1, {"eos": lease.credentials[0].version}),))
    reply = pilot.post(f"{pilot.url}/v1/pilots/{pilot.stamp}/credentials", question, CredentialsReply)
    (credential,) = reply.attempts[0].credentials
    assert (credential.version, credential.values) == (version, {"token": "another-horse-battery"})
    pilot.succeed(lease)
    pilot.bye()


def told(pilot: SignedPilot, lease: Lease) -> Mapping[str, str]:
    """Versions of an attempt's credentials that a heartbeat's answer names."""
    reply = pilot.heartbeat((held(lease),))
    return next((one.versions for one in reply.credentials if one.job == lease.job), {})


def newer(versions: Mapping[str, str], lease: Lease) -> str:
    """The version that is told, if it is another one than the lease brought."""
    version = versions.get("eos", "")
    return "" if version == lease.credentials[0].version else version


def test_a_limit_is_exact_whoever_gives_the_jobs(pair: Pair) -> None:
    """Forty pilots that ask two centrals at once get five jobs of a group that may have five, and one more per end."""
    eve = pair.one.person("eve")
    eve.submit({"command": ["true", "{n}"], "sweep": {"n": "1..60"}, "needs": {"memory": "7 GB"}})
    pilots = [central.pilot() for central in pair.both for _ in range(20)]
    try:
        with ThreadPoolExecutor(len(pilots)) as pool:
            leased = list(pool.map(lambda pilot: (pilot, pilot.match().leases), pilots))
            won = [(pilot, lease) for pilot, leases in leased for lease in leases]
            assert len(won) == 5
            won[0][0].succeed(won[0][1])

            def more() -> int:
                return sum(len(reply.leases) for reply in pool.map(lambda pilot: pilot.match(), pilots))

            assert until(more, "the place to be given again") == 1
            assert more() == 0
    finally:
        eve.say("/v1/jobs/kill", {"selection": {"group": "tau"}}, VerbReply)
        for pilot in pilots:
            pilot.bye()


def test_copies_are_left_to_the_server(pair: Pair) -> None:
    """A backup or a restore of jobs that are in PostgreSQL is refused, and the sentence names what does it."""
    for verb in ("backup", "restore"):
        refused = pair.one.run(verb, str(pair.one.folder / "copy"))
        assert (refused.returncode, "pg_dump" in refused.stderr, "Traceback" in refused.stderr) == (1, True, False)


# -- pilots -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, -1])
def test_a_pilot_is_at_home_at_every_central(pair: Pair, order: int) -> None:
    """Enrolled at one, a pilot speaks to the other under the same token, and both agree what time it is."""
    here, there = pair.both[::order]
    pilot = here.pilot(enrolled=False)
    assert abs(pilot.enrol().server_time - time.time()) < 30
    assert abs(at(pilot, there).heartbeat().server_time - time.time()) < 30
    pilot.renew()
    assert at(pilot, here).heartbeat().sequence == 2
    pilot.bye()
    assert until(lambda: refused(at(pilot, there).heartbeat), "the goodbye to get around") == "revoked"


def test_a_captured_heartbeat_is_old_everywhere(pair: Pair) -> None:
    """A request that was heard is refused by the same central, and by the other as soon as a newer one was heard."""
    pilot = pair.one.pilot()
    body = b'{"epoch": 1, "sequence": 1, "state": "running"}'
    url = f"{pair.one.url}/v1/pilots/{pilot.stamp}/heartbeat"
    proof = pilot.proof("POST", url, body)
    assert pilot.http.post(url, data=body, headers=proof).status_code == 200
    assert pilot.http.post(url, data=body, headers=proof).json()["type"] == "replayed"
    pilot.sequence = 1
    pilot.heartbeat()
    elsewhere = url.replace(pair.one.url, pair.two.url)
    until(lambda: pilot.http.post(elsewhere, data=body, headers=proof).status_code == 409, "the number to be old")
    pilot.bye()


# -- orders -----------------------------------------------------------------------------------------------------------


def test_orders_written_at_one_are_delivered_by_the_other(pair: Pair) -> None:
    """An order given at one central comes with a heartbeat at the other, and not again once it was received."""
    pilot = pair.one.pilot()
    path = f"/v1/pilots/{pilot.stamp}/orders"
    order = pair.two.person("oli").say(path, {"verb": "flush"}, OrderReply).order
    (given,) = until(lambda: pilot.heartbeat().orders, "the order")
    assert (given.id, given.verb) == (order, OrderVerb.FLUSH)
    at(pilot, pair.two).heartbeat(acknowledgements=(Acknowledgement(order, "received"),))
    until(lambda: not at(pilot, pair.one).heartbeat().orders, "the order to be forgotten")
    pilot.bye()


def test_a_kill_reaches_the_pilot_through_the_other_central(pair: Pair) -> None:
    """A job killed at one central is killed where it runs, whichever central its pilot speaks to."""
    job = submit_at(pair.one, needs={"memory": "4 GB"})
    pilot = pair.one.pilot()
    (lease,) = pilot.match().leases
    pilot.report(lease, Phase.RUNNING)
    reply = pair.two.person("ann").say("/v1/jobs/kill", {"selection": {"ids": [job]}}, VerbReply)
    assert reply.results[0].changed
    (order,) = until(lambda: pilot.heartbeat((held(lease),)).orders, "the order to kill")
    assert (order.verb, order.job) == (OrderVerb.KILL, job)
    pilot.bye()


def test_draining_at_one_answers_who_waits_at_the_other(pair: Pair) -> None:
    """A pilot drained at one central is answered at once where it waits, and gets nothing anywhere."""
    pilot = pair.one.pilot()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(pilot.match, wait=25.0)
        until(lambda: "held_requests 1.0" in pair.one.person("oli").get("/metrics").text, "the request to be held")
        began = time.monotonic()
        pair.two.person("oli").say(f"/v1/pilots/{pilot.stamp}/orders", {"verb": "drain"}, OrderReply)
        assert waiting.result(30).reason == "draining"
        assert time.monotonic() - began < SOON
    for central in pair.both:
        assert at(pilot, central).match().reason == "draining"
    pilot.bye()


# -- what people see --------------------------------------------------------------------------------------------------


def test_a_log_pushed_through_both_is_whole_at_each(pair: Pair) -> None:
    """Chunks of one stream go to either central, overlap and repeat; who follows at either reads every byte once."""
    job = submit_at(pair.one, needs={"memory": "5 GB"})
    pilot = pair.one.pilot()
    (lease,) = pilot.match().leases
    stream = attempt_stream(lease.job, lease.attempt, "stdout")
    text = b"".join(b"line %d\n" % number for number in range(40))
    path = f"/v1/jobs/{job}/logs/stdout"
    with ThreadPoolExecutor(2) as pool:
        headers = {"Accept": "text/event-stream"}
        followers = [pool.submit(central.person("ann").get, path, headers=headers) for central in pair.both]
        until(lambda: pilot.heartbeat((held(lease),)).followed == (stream,), "the pilot to be told of the follower")
        for number, offset in enumerate(range(0, len(text), 20)):
            chunk = text[max(0, offset - 7) : offset + 20]
            at(pilot, pair.both[number % 2]).log(stream, max(0, offset - 7), chunk)
        at(pilot, pair.two).log(stream, len(text) - 5, text[-5:], last=True)
        pilot.succeed(lease, log_sizes={stream: len(text)})
        for follower in followers:
            assert events_text(follower.result(30).text) == text
    for central in pair.both:
        answer = central.person("ann").get(path)
        assert answer.content == text
        assert answer.headers["Pilotage-Complete"] == "true"
    pilot.bye()


def events_text(text: str) -> bytes:
    """What the events of a followed log say."""
    lines = text.split("\n")
    return b"".join(base64.b64decode(line[6:]) for before, line in pairwise(lines) if before[:4] == "id: ")


def test_a_file_in_parts_is_put_together_from_both(pair: Pair) -> None:
    """Parts of a file sent to either central make one file that each hands out."""
    content = bytes(range(256)) * 50
    sha256 = hashlib.sha256(content).hexdigest()
    for number, offset in enumerate(range(0, len(content), 3000)):
        person = pair.both[number % 2].person("ann")
        query = f"?offset={offset}&size={len(content)}"
        part = content[offset : offset + 3000]
        assert person.put(f"/v1/sandboxes/{sha256}{query}", data=part).status_code == 200
    for central in pair.both:
        assert central.person("ann").get(f"/v1/sandboxes/{sha256}").content == content


def test_who_watches_sees_what_happens_at_the_other(pair: Pair) -> None:
    """Events of one central reach those who watch at the other."""
    ann = pair.one.person("ann")
    with closing(ann.get("/v1/events", stream=True)) as answer:
        lines = answer.iter_lines(chunk_size=1, decode_unicode=True)
        assert next(lines) == ": watching"
        job = submit_at(pair.two, needs={"cores": 64})
        data = next(line for line in lines if line.startswith("data: "))
    assert json.loads(data[6:])["first"] == job


def test_explain_agrees_wherever_it_is_asked(pair: Pair) -> None:
    """Why a job waits is the same at each, with pilots that only one of them has heard."""
    job = submit_at(pair.one, needs={"cores": 3, "tags": "rare"})
    pilot = pair.two.pilot()
    pilot.match()

    def explanations() -> tuple[JobExplanation, ...]:
        """What both say, once they agree and know of the pilot."""
        here, there = (central.person("ann").read(f"/v1/jobs/{job}/explain", JobExplanation) for central in pair.both)
        return (here, there) if here == there and here.pilots == 1 else ()

    assert until(explanations, "both to say the same")[0].nearest
    pilot.bye()


def test_the_queues_show_one_demand(pair: Pair) -> None:
    """Jobs taken through one central are not counted any more at the other."""
    jobs = [submit_at(pair.one, needs={"memory": "6 GB"}) for _ in range(3)]
    pilot = pair.two.pilot()

    def demands() -> set[int]:
        pages = [central.person("oli").read("/v1/queues", QueuePage).queues for central in pair.both]
        return {queue.demand for queues in pages for queue in queues if queue.name == "local"}

    until(lambda: demands() == {3}, "both to count the same")
    (lease,) = pilot.match().leases
    assert lease.job == jobs[0]
    until(lambda: demands() == {2}, "the other to count less")
    pair.one.person("ann").say("/v1/jobs/kill", {"selection": {"ids": jobs}}, VerbReply)
    pilot.bye()
    assert pair.one.person("ann").job(jobs[0]).state is JobState.KILLED


def test_a_queue_added_at_one_counts_at_the_other(pair: Pair) -> None:
    """Sites and queues that were added, changed and removed at one central are so at the other, at once."""
    url = pair.one.url
    text = 'name = "far"\nsite = "there"\nkind = "external"\nslots = {slots}\n'
    with Client(url, token_of("oli"), pair.one.ca) as one, Client(pair.two.url, token_of("oli"), pair.two.ca) as two:

        def slots() -> int | None:
            return next((queue.slots for queue in two.queues() if queue.name == "far"), None)

        one.add_site("there")
        one.add_queue(text.format(slots=3))
        until(lambda: slots() == 3, "the queue to be known")
        two.add_queue(text.format(slots=4))
        assert [(row.number, row.who) for row in one.queue_history("far")] == [(2, "oli"), (1, "oli")]
        one.remove_queue("far")
        until(lambda: slots() is None, "the queue to be gone")
        two.remove_site("there")


def test_who_is_let_go_of_at_one_is_nobody_at_the_other(pair: Pair) -> None:
    """A token made at one central opens the other, and neither any more once its owner is let go of; a group that was
    added, and its share, are known to both."""
    with (
        Client(pair.one.url, token_of("cam"), pair.one.ca) as one,
        Client(pair.two.url, token_of("cam"), pair.two.ca) as two,
    ):

        def shares() -> dict[str, float]:
            return {group.name: group.share for group in two.community("physics").groups}

        one.add_group("physics", "rare", 3.0)
        until(lambda: shares().get("rare") == 3.0, "the group to be known")
        two.share_group("physics", "rare", 2.0)
        one.add_member("max", "rare")
        token = one.make_token(user="max", group="rare").token
        with Client(pair.two.url, token, pair.two.ca, patience=5) as max_:
            until(lambda: not refused(max_.whoami), "the token to be known")
            job = max_.submit({"command": ["true"], "needs": {"cores": 64}}).ids[0]
            began = time.monotonic()
            one.revoke_member("max")
            until(lambda: refused(max_.whoami) == "unauthorized", "the token to be unknown")
            assert time.monotonic() - began < SOON
        assert two.job(job).job.state is JobState.HELD
        one.remove_group("physics", "rare")
