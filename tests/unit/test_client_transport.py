"""Requests of the client: sent again when that is right, and what it makes of answers."""

import pytest
import requests
import responses

from pilot.errors import PilotageError, Refusal, TransportError
from pilot.views import VerbReply, VerbResult, WhoAmI
from tests.unit.client_scene import TOKEN, URL, Time, answer, client, problem

ME = WhoAmI("ada", "physics", "users", "member", "0.1.0")


@pytest.fixture
def central():
    with responses.RequestsMock() as mock:
        yield mock


def test_an_answer_becomes_a_record_and_the_token_goes_along(central):
    """A request carries the token as a bearer, and its answer is the record of the views."""
    central.get(f"{URL}/v1/whoami", **answer(ME))

    assert client(Time()).whoami() == ME
    assert central.calls[0].request.headers["Authorization"] == f"Bearer {TOKEN}"


def test_a_busy_central_is_asked_again_after_what_it_says(central):
    """`busy` with a time is no error: the client waits that long, and asks again."""
    central.get(f"{URL}/v1/whoami", **problem("busy", retry_after=4.0))
    central.get(f"{URL}/v1/whoami", **answer(ME))
    time = Time()

    assert client(time).whoami() == ME
    assert time.now == pytest.approx(4.4)


def test_a_central_that_is_away_is_tried_until_patience_ends(central):
    """A central that cannot be reached is an error that says so, after the patience asked for and not later."""
    central.get(f"{URL}/v1/whoami", body=requests.ConnectionError("no route"))
    time = Time()

    with pytest.raises(TransportError, match="cannot be reached.*pilotage up"):
        client(time, patience=10.0).whoami()
    assert 5.0 < time.now <= 10.0
    assert len(time.slept) > 3
    assert time.slept == sorted(time.slept)


def test_a_refusal_is_raised_with_its_fields_and_not_repeated(central):
    """What will not change is refused at once, with the type, the sentence and every problem."""
    central.get(
        f"{URL}/v1/jobs/7",
        **problem("not-found", detail="there is no job 7 that you may see", expected="a job", got="7"),
    )
    time = Time()

    with pytest.raises(Refusal, match="no job 7") as caught:
        client(time).job(7)
    assert (caught.value.type, caught.value.expected, caught.value.got) == ("not-found", "a job", "7")
    assert time.slept == []


def test_a_kill_is_repeated_and_a_reschedule_is_not(central):
    """A lost answer to a kill is asked for again; a reschedule could have made a job already, so it is not."""
    reply = VerbReply((VerbResult(7, True),))
    central.post(f"{URL}/v1/jobs/kill", body=requests.ReadTimeout("lost"))
    central.post(f"{URL}/v1/jobs/kill", **answer(reply))
    central.post(f"{URL}/v1/jobs/reschedule", body=requests.ReadTimeout("lost"))

    assert client(Time()).kill([7]) == reply.results
    with pytest.raises(TransportError):
        client(Time()).reschedule([7])
    assert len(central.calls) == 3


def test_a_reschedule_that_was_never_sent_is_repeated(central):
    """A request that never left is sent again, whatever it is."""
    reply = VerbReply((VerbResult(7, True, new_job=8),))
    central.post(f"{URL}/v1/jobs/reschedule", body=requests.ConnectTimeout("nobody there"))
    central.post(f"{URL}/v1/jobs/reschedule", **problem("busy", retry_after=1.0))
    central.post(f"{URL}/v1/jobs/reschedule", **answer(reply))

    assert client(Time()).reschedule([7])[0].new_job == 8


def test_an_answer_of_something_else_is_not_taken_for_one(central):
    """A page of a web server is an error that doubts the address."""
    central.get(f"{URL}/v1/whoami", body="<html>", status=404, content_type="text/html")

    with pytest.raises(PilotageError, match="not as a central does"):
        client(Time()).whoami()


def test_a_gateway_error_counts_as_away(central):
    """502 to 504 of a proxy mean that the central is away, and the client asks again."""
    central.get(f"{URL}/v1/whoami", body="<html>", status=502, content_type="text/html")
    central.get(f"{URL}/v1/whoami", **answer(ME))

    assert client(Time()).whoami() == ME


def test_a_redirect_is_not_followed(central):
    """The token goes to nobody else."""
    central.get(f"{URL}/v1/whoami", status=302, headers={"Location": "https://elsewhere.example/"})

    with pytest.raises(PilotageError, match="302"):
        client(Time()).whoami()
    assert len(central.calls) == 1


def test_an_answer_that_is_not_understood_is_an_error(central):
    """JSON of another shape is an error that names the request and not a wrong record."""
    central.get(f"{URL}/v1/whoami", body=b'{"user": 7}', content_type="application/json")

    with pytest.raises(PilotageError, match="GET /v1/whoami.*not understood"):
        client(Time()).whoami()


def test_an_authority_that_does_not_fit_is_told_and_not_tried_again(central):
    """A certificate that does not verify is no matter of patience."""
    central.get(f"{URL}/v1/whoami", body=requests.exceptions.SSLError("self-signed certificate"))
    time = Time()

    with pytest.raises(PilotageError, match="does not verify") as caught:
        client(time).whoami()
    assert not isinstance(caught.value, TransportError)
    assert time.slept == []


def test_the_environment_changes_neither_trust_nor_token(central, monkeypatch, tmp_path):
    """A CA bundle or a .netrc in the environment does not replace the pinned authority or the token."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/elsewhere/bundle.pem")
    (tmp_path / "netrc").write_text("machine central.example login eve password pwned\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    central.get(f"{URL}/v1/whoami", **answer(ME))

    client(Time()).whoami()
    assert central.calls[0].request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert central.calls[0].request.req_kwargs["verify"] is True
