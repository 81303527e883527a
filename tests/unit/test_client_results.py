"""Logs and outputs: each byte once, each file checked, nothing outside the folder."""

import base64
import hashlib

import pytest
import requests
import responses
from responses import matchers

from pilot.errors import InvalidInput, PilotageError
from pilot.protocol import Needs, OutputFile
from pilot.states import JobState
from pilot.views import JobDetail, JobOutputs
from pilotage import files, sse
from tests.unit.client_scene import URL, Time, answer, client, job

LOGS = f"{URL}/v1/jobs/7/logs/stdout"


@pytest.fixture
def central():
    with responses.RequestsMock() as mock:
        yield mock


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def event(content: bytes, end: int) -> bytes:
    return b"event: log\nid: %d\ndata: %s\n\n" % (end, base64.b64encode(content))


END = b'event: end\ndata: {"size": 10, "attempt": 1, "outcome": "success"}\n\n'


# -- logs -------------------------------------------------------------------------------------------------------------


def test_a_log_is_read_range_after_range(central):
    """Reading goes on until all that there is has come; bytes that are no UTF-8 stay what they are."""
    central.get(LOGS, body=b"\xff\xfe12", headers={"Pilotage-Size": "6"})
    central.get(LOGS, body=b"34", headers={"Pilotage-Size": "6"})

    assert client(Time()).logs(7, attempt=2) == b"\xff\xfe1234"
    assert [call.request.params["offset"] for call in central.calls] == ["0", "4"]
    assert {call.request.params["attempt"] for call in central.calls} == {"2"}


def test_an_offset_behind_the_end_is_refused(central):
    """At the end there is nothing yet; behind it there is a mistake, and the error says how long the log is."""
    central.get(LOGS, body=b"", headers={"Pilotage-Size": "6"})

    assert client(Time()).logs(7, offset=6) == b""
    with pytest.raises(InvalidInput, match="6 bytes until now, and none at 7"):
        client(Time()).logs(7, offset=7)


def test_a_log_that_is_followed_ends_with_its_end(central):
    """Every event's bytes come as they are, and the event `end` is the end."""
    central.get(LOGS, body=event(b"01234", 5) + b": still here\n\n" + event(b"56789", 10) + END)

    assert list(client(Time()).follow(7, attempt=1)) == [b"01234", b"56789"]
    assert central.calls[0].request.headers["Accept"] == "text/event-stream"


def test_a_dropped_connection_is_taken_up_where_it_broke_off(central):
    """After a drop the next connection starts at the offset reached, and bytes that come twice are given once."""
    central.get(LOGS, body=event(b"01234", 5) + b"event: log\nid: 10\nda")
    central.get(LOGS, body=requests.ConnectionError("reset"))
    central.get(LOGS, body=event(b"345678", 9) + event(b"9", 10) + END)

    assert b"".join(client(Time()).follow(7, attempt=1)) == b"0123456789"
    assert [call.request.params["offset"] for call in central.calls] == ["0", "5", "5"]


def test_following_waits_for_a_first_attempt(central):
    """A job that waits is followed from its first attempt on."""
    for number in (0, 0, 1):
        view = job(7, JobState.WAITING, attempt=number)
        central.get(f"{URL}/v1/jobs/7", **answer(JobDetail(view, ("a",), Needs(), 0, 0, 0)))
    central.get(LOGS, match=[matchers.query_param_matcher({"attempt": "1", "offset": "0"})], body=event(b"x", 1) + END)

    assert list(client(Time()).follow(7)) == [b"x"]


def test_following_a_job_that_never_ran_ends(central):
    """A job that was killed while it waited has no log to wait for."""
    view = job(7, JobState.KILLED, attempt=0)
    central.get(f"{URL}/v1/jobs/7", **answer(JobDetail(view, ("a",), Needs(), 0, 0, 0)))

    assert list(client(Time()).follow(7)) == []


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_events_are_found_however_the_bytes_are_cut(size):
    """Events are the same in whatever pieces they arrive; comments are left out, lines may end with CR LF."""
    data = b": hello\n\nevent: log\r\nid: 5\r\ndata: a\r\n\r\ndata: one\ndata: two\n\nevent: cut"
    chunks = [data[at : at + size] for at in range(0, len(data), size)]

    assert list(sse.events(chunks)) == [sse.ServerEvent("log", "a", "5"), sse.ServerEvent("message", "one\ntwo")]


# -- outputs ----------------------------------------------------------------------------------------------------------


def outputs(central, *files: OutputFile, undelivered: tuple[str, ...] = ()) -> None:
    central.get(f"{URL}/v1/jobs/7/outputs", **answer(JobOutputs(1, files, undelivered)))


def stored(name: str, content: bytes) -> OutputFile:
    return OutputFile(name, len(content), sha256(content), ("sandbox",))


def test_outputs_are_fetched_into_the_folder(central, tmp_path):
    """Files land under their names; what is elsewhere or never came is told."""
    away = OutputFile("b", 1, sha256(b"b"), ("https://store.example/b",))
    outputs(central, stored("plots/a.txt", b"hello"), away, undelivered=("c",))
    central.get(f"{URL}/v1/sandboxes/{sha256(b'hello')}", body=b"hello")
    told = []

    fetched = client(Time()).fetch_outputs(7, tmp_path / "new", progress=lambda *amount: told.append(amount))

    assert (tmp_path / "new" / "plots" / "a.txt").read_bytes() == b"hello"
    assert fetched.files == (tmp_path / "new" / "plots" / "a.txt",)
    assert (fetched.elsewhere, fetched.undelivered) == ((away,), ("c",))
    assert told == [(5, 5)]
    assert [path.name for path in (tmp_path / "new" / "plots").iterdir()] == ["a.txt"]


def test_an_empty_output_is_a_file(central, tmp_path):
    """A file of no bytes is made without asking for any."""
    outputs(central, stored("empty", b""))

    client(Time()).fetch_outputs(7, tmp_path)

    assert (tmp_path / "empty").read_bytes() == b""


def test_a_file_that_is_not_what_the_job_wrote_is_not_kept(central, tmp_path):
    """Wrong bytes are an error, and leave nothing behind."""
    outputs(central, stored("a", b"hello"))
    central.get(f"{URL}/v1/sandboxes/{sha256(b'hello')}", body=b"jello")

    with pytest.raises(PilotageError, match="SHA-256 differs"):
        client(Time()).fetch_outputs(7, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_already_is_not_fetched_again(central, tmp_path):
    """Fetching twice costs a look at the file."""
    outputs(central, stored("a", b"hello"))
    (tmp_path / "a").write_bytes(b"hello")

    assert client(Time()).fetch_outputs(7, tmp_path).files == (tmp_path / "a",)


def test_another_file_in_the_place_of_one_is_not_replaced(central, tmp_path):
    """Nothing is fetched when something else would be lost, unless that is wanted."""
    outputs(central, stored("a", b"hello"), stored("b", b"x"))
    (tmp_path / "b").write_bytes(b"y")

    with pytest.raises(PilotageError, match="there is something else, .*b. Choose another folder, or say --force"):
        client(Time()).fetch_outputs(7, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]

    for content in (b"hello", b"x"):
        central.get(f"{URL}/v1/sandboxes/{sha256(content)}", body=content)
    client(Time()).fetch_outputs(7, tmp_path, force=True)
    assert (tmp_path / "b").read_bytes() == b"x"


def test_a_broken_download_is_resumed(central, tmp_path, monkeypatch):
    """Whole blocks that came before a connection broke are kept, and the rest is asked for."""
    monkeypatch.setattr(files, "BLOCK", 2)
    outputs(central, stored("a", b"0123456789"))
    url = f"{URL}/v1/sandboxes/{sha256(b'0123456789')}"
    central.get(url, body=b"01234", headers={"Content-Length": "10"})
    central.get(url, status=206, body=b"456789", match=[matchers.header_matcher({"Range": "bytes=4-"})])

    client(Time()).fetch_outputs(7, tmp_path)

    assert (tmp_path / "a").read_bytes() == b"0123456789"


@pytest.mark.parametrize("name", ["../a", "/etc/a", "x/../../a", ".."])
def test_a_name_that_leads_out_of_the_folder_is_refused(central, tmp_path, name):
    """Whatever a central says, nothing is written outside the folder."""
    outputs(central, stored(name, b"x"))

    with pytest.raises(InvalidInput, match="expected a path inside"):
        client(Time()).fetch_outputs(7, tmp_path / "in")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_link_out_of_the_folder_is_not_followed(central, tmp_path):
    """A link that lies in the folder does not become a way out of it."""
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "sub").symlink_to(tmp_path / "out")
    outputs(central, stored("sub/a", b"x"))

    with pytest.raises(PilotageError, match="a link leads out"):
        client(Time()).fetch_outputs(7, tmp_path / "in")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_link_in_the_place_of_a_file_is_replaced(central, tmp_path):
    """A link where a file goes is replaced when that is wanted, and what it points to stays."""
    (tmp_path / "in").mkdir()
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "in" / "a").symlink_to(tmp_path / "victim")
    outputs(central, stored("a", b"x"))
    central.get(f"{URL}/v1/sandboxes/{sha256(b'x')}", body=b"x")

    client(Time()).fetch_outputs(7, tmp_path / "in", force=True)

    assert (tmp_path / "victim").read_text() == "mine"
    assert (tmp_path / "in" / "a").read_bytes() == b"x"
