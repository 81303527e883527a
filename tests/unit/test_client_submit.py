"""Submitting: inputs found, sent once and only when needed, and named by digest in what is submitted."""

import hashlib
import re

import msgspec
import pytest
import responses

from pilot.errors import InvalidJob, PilotageError, Refusal
from pilot.views import JobRange, SandboxReply, SubmitReply
from pilotage import files, inputs
from tests.unit.client_scene import URL, Time, answer, client, problem

SANDBOX = re.compile(re.escape(URL) + "/v1/sandboxes/[0-9a-f]{64}")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def central():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def takes_jobs(central, *ranges):
    central.post(f"{URL}/v1/jobs", **answer(SubmitReply(tuple(JobRange(*each) for each in ranges)), 201))


def submitted(central):
    """The documents of the last submission."""
    call = [call for call in central.calls if call.request.url.endswith("/v1/jobs")][-1]
    return msgspec.json.decode(call.request.body)["jobs"]


def test_a_submission_gives_the_ids_of_every_job(central):
    """Ranges of ids, one for each document, and flat in order."""
    takes_jobs(central, (7, 3), (10, 1))

    submission = client(Time()).submit([{"command": ["a"], "sweep": {"n": "1..3"}}, {"command": ["b"]}])

    assert submission.ids == (7, 8, 9, 10)
    assert submission.jobs == (JobRange(7, 3), JobRange(10, 1))


def test_only_inputs_that_the_central_lacks_are_sent(central, tmp_path):
    """Each different content is asked for once and sent when it is not there; every name has its digest."""
    for name, content in {"a": b"same", "b": b"same", "known": b"known"}.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "a").chmod(0o755)
    central.head(f"{URL}/v1/sandboxes/{sha256(b'same')}", status=404)
    central.put(f"{URL}/v1/sandboxes/{sha256(b'same')}", **answer(SandboxReply(True, sha256(b"same"), 4, 4)))
    central.head(f"{URL}/v1/sandboxes/{sha256(b'known')}", status=200)
    takes_jobs(central, (1, 1))
    told = []

    submission = client(Time()).submit(
        {"command": ["./a"], "inputs": ["a", "b", "known"]}, tmp_path, progress=lambda *amount: told.append(amount)
    )

    assert submission.uploaded == 1
    assert sorted(call.request.method for call in central.calls) == ["HEAD", "HEAD", "POST", "PUT"]
    assert told[-1] == (9, 9)
    assert submitted(central)[0]["files"] == {
        "a": {"sha256": sha256(b"same"), "size": 4, "executable": True},
        "b": {"sha256": sha256(b"same"), "size": 4, "executable": False},
        "known": {"sha256": sha256(b"known"), "size": 5, "executable": False},
    }


def test_a_sweep_brings_the_inputs_of_every_member(tmp_path):
    """Input names with placeholders stand for the file of each member."""
    for number in (1, 2):
        (tmp_path / f"in-{number}.txt").write_text(str(number))

    prepared = inputs.prepare(
        [{"command": ["cat", "in-{n}.txt"], "inputs": ["in-{n}.txt"], "sweep": {"n": [1, 2]}}], tmp_path
    )

    assert prepared.count == 2
    assert prepared.documents[0]["inputs"] == ["in-{n}.txt"]
    assert set(prepared.documents[0]["files"]) == {"in-1.txt", "in-2.txt"}
    assert {file.path.name for file in prepared.files} == {"in-1.txt", "in-2.txt"}


def test_a_folder_among_the_inputs_is_all_files_in_it(tmp_path):
    """`data/` becomes the names of the files below it."""
    (tmp_path / "data" / "deep").mkdir(parents=True)
    for name in ("data/b", "data/a", "data/deep/c"):
        (tmp_path / name).write_text(name)

    prepared = inputs.prepare([{"command": ["ls"], "inputs": ["data/"]}], tmp_path)

    assert prepared.documents[0]["inputs"] == ["data/a", "data/b", "data/deep/c"]


def test_an_executable_beside_the_job_file_travels(tmp_path):
    """`executable: ./run.sh` is an input without being listed as one."""
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")

    prepared = inputs.prepare([{"executable": "./run.sh"}], tmp_path)

    assert set(prepared.documents[0]["files"]) == {"run.sh"}


def test_every_problem_of_every_document_is_told_before_anything_is_sent(central, tmp_path):
    """Missing inputs and wrong keys of all documents come in one error, with their places, and nothing is sent."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(InvalidJob) as caught:
        client(Time()).submit(
            [
                {"command": ["a"], "inputs": ["gone", "folder"]},
                {"command": ["b"], "needs": {"cores": -1}},
                {"command": ["c"], "inputs": ["../secret"]},
            ],
            tmp_path,
        )

    places = [problem.where for problem in caught.value.problems]
    assert places == ["jobs[0].inputs[0]", "jobs[0].inputs[1]", "jobs[1].needs.cores", "jobs[2].inputs[0]"]
    assert "there is no file gone" in str(caught.value)
    assert "write folder/ to send" in str(caught.value)
    assert len(central.calls) == 0


def test_a_repeated_submission_has_the_same_key(central):
    """When the answer is lost, the same Idempotency-Key makes the second request the first one."""
    central.post(f"{URL}/v1/jobs", **problem("busy", retry_after=1.0))
    takes_jobs(central, (1, 1))

    client(Time()).submit({"command": ["a"]})

    keys = [call.request.headers["Idempotency-Key"] for call in central.calls]
    assert keys[0] == keys[1]
    assert len(keys[0]) >= 16


def test_two_submissions_have_two_keys_unless_one_is_given(central):
    """Submitting twice on purpose makes two jobs; a key of one's own makes the second the first."""
    takes_jobs(central, (1, 1))
    asking = client(Time())

    for key in (None, None, "mine"):
        asking.submit({"command": ["a"]}, key=key)

    keys = [call.request.headers["Idempotency-Key"] for call in central.calls]
    assert keys[0] != keys[1]
    assert keys[2] == "mine"


def test_problems_found_by_the_central_arrive_with_their_places(central):
    """A refusal lists every problem."""
    found = ({"where": "jobs[0].needs.sites", "problem": "there is no site mars"},)
    central.post(f"{URL}/v1/jobs", **problem("invalid", detail="1 problem", problems=found))

    with pytest.raises(Refusal) as caught:
        client(Time()).submit({"command": ["a"]})
    assert str(caught.value.problems[0]) == "jobs[0].needs.sites: there is no site mars"


def test_a_large_file_goes_in_parts_and_resumes_where_it_broke_off(central, tmp_path, monkeypatch):
    """What arrived of a file before is not sent again."""
    monkeypatch.setattr(files, "PART", 4)
    (tmp_path / "big").write_bytes(b"0123456789")
    digest = sha256(b"0123456789")
    central.head(SANDBOX, status=404, headers={"Pilotage-Next": "4"})
    for end in (8, 10):
        central.put(SANDBOX, **answer(SandboxReply(True, digest, 10, end)))
    takes_jobs(central, (1, 1))

    client(Time()).submit({"command": ["a"], "inputs": ["big"]}, tmp_path)

    parts = [call.request for call in central.calls if call.request.method == "PUT"]
    assert [(part.params, part.body) for part in parts] == [
        ({"offset": "4", "size": "10"}, b"4567"),
        ({"offset": "8", "size": "10"}, b"89"),
    ]


def test_a_file_that_changes_meanwhile_stops_the_submission(central, tmp_path):
    """Nothing is submitted with an input that is not what its digest says."""
    (tmp_path / "log").write_text("before")
    central.head(SANDBOX, status=404)
    prepared = inputs.prepare([{"command": ["a"], "inputs": ["log"]}], tmp_path)
    (tmp_path / "log").write_text("after!")

    with pytest.raises(PilotageError, match="changed while"):
        client(Time()).submit_prepared(prepared)
    assert [call.request.method for call in central.calls] == ["HEAD"]


def test_inputs_by_url_are_nothing_to_send(tmp_path):
    """What the pilot fetches itself is left as it was written, also beside files and folders that are sent."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_bytes(b"a")
    far = {"url": "https://h.example/x.csv", "name": "data/x.csv"}
    prepared = inputs.prepare([{"command": ["a"], "inputs": ["data/", far]}], tmp_path)
    (document,) = prepared.documents
    assert document["inputs"] == ["data/a", far]
    assert list(document["files"]) == ["data/a"]
    (document,) = inputs.prepare([{"command": ["a"], "inputs": [far]}], tmp_path).documents
    assert document["inputs"] == [far]
