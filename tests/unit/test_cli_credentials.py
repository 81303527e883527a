"""`pilotage credential` and the client's part for it: what they ask for and print, and where a secret never is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import responses
from responses import matchers

from pilot.credential import (
    MAX_VALUE,
    CredentialEvent,
    CredentialHistory,
    CredentialPage,
    CredentialRemoved,
    CredentialView,
)
from pilot.errors import InvalidJob
from pilotage.exits import Exit
from tests.unit.client_scene import URL, Time, answer, client
from tests.unit.test_cli import FakeClient, run

NOW = 1_764_115_200.0
VIEW = CredentialView("eos", "bearer", "physics", "ann", NOW, ("https://eos.example/a/",), NOW + 4e9)
OPEN = {"access_key": "AK", "region": "r"}
LAKE = CredentialView("lake", "s3", "physics", "ann", NOW, ("s3://lake/",), NOW - 5, OPEN)


def asked(fake: FakeClient) -> tuple[object, ...]:
    ((name, arguments, _),) = fake.asked
    assert name == "keep_credential"
    return arguments


def test_a_secret_comes_from_standard_input() -> None:
    """A line's end is not part of a token; what else was said goes along, durations as seconds."""
    fake = FakeClient(keep_credential=VIEW)
    words = ("set", "eos", "--kind", "bearer", "--url", "https://eos.example/a/", "--expires", "7d")
    result = run(fake, "credential", *words, input="open-sesame\n")
    assert result.exit_code == 0
    assert asked(fake) == ("eos", "bearer", {"token": "open-sesame"}, ("https://eos.example/a/",), 7 * 86400)
    assert result.stdout.startswith("eos is kept, until ")
    assert "sesame" not in result.output


def test_a_text_is_kept_as_it_is(tmp_path: Path) -> None:
    """A file's bytes, line ends included."""
    file = tmp_path / "licence"
    file.write_text("one\ntwo\n")
    fake = FakeClient(keep_credential=VIEW)
    run(fake, "credential", "set", "licence", "--secret-file", str(file))
    assert asked(fake) == ("licence", "text", {"text": "one\ntwo\n"}, (), None)


def test_the_parts_of_an_s3_key() -> None:
    """What is no secret is an option, the secret key is not."""
    fake = FakeClient(keep_credential=LAKE)
    words = ("--kind", "s3", "--url", "s3://lake/", "--endpoint", "https://s3.example", "--access-key", "AK")
    run(fake, "credential", "set", "lake", *words, "--style", "host", input="sesame/key")
    values = {"endpoint": "https://s3.example", "access_key": "AK", "style": "host", "secret_key": "sesame/key"}
    assert asked(fake)[2] == values


def test_the_token_of_a_key_that_ends(tmp_path: Path) -> None:
    """A secret as well, it comes from a file; one that is too long, or of another kind, is named by the option."""
    file = tmp_path / "token"
    file.write_text("FwoGZXIvYXdzE//token==\n")
    aws = CredentialView("aws", "access-key", "physics", "ann", NOW, (), NOW + 3600, {"access_key": "ASIA"})
    fake = FakeClient(keep_credential=aws)
    words = ("set", "aws", "--kind", "access-key", "--access-key", "ASIA", "--session-token-file", str(file))
    result = run(fake, "credential", *words, "--expires", "1h", input="sesame/key\n")
    values = {"access_key": "ASIA", "secret_key": "sesame/key", "session_token": "FwoGZXIvYXdzE//token=="}
    assert asked(fake) == ("aws", "access-key", values, (), 3600)
    assert "token==" not in result.output
    with pytest.raises(InvalidJob, match="--session-token-file: expected one of token"):
        run(FakeClient(), "credential", "set", "x", "--kind", "bearer", *words[-2:], input="open-sesame")
    file.write_text("x" * (MAX_VALUE + 1))
    with pytest.raises(InvalidJob, match="--session-token-file: expected at most"):
        run(FakeClient(), "credential", *words, input="sesame/key")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("set", "../x"), "NAME"),
        (("set", "x", "--expires", "soon"), "--expires"),
        (("set", "x", "--kind", "magic"), "--kind"),
        (("set", "x", "--secret-file", "/absent/file"), "--secret-file"),
        (("set", "x", "open-sesame"), "unexpected extra argument"),
    ],
)
def test_a_wrong_line_is_a_usage_error(words: tuple[str, ...], told: str) -> None:
    """Nobody is asked, and the sentence names the option."""
    result = run(FakeClient(), "credential", *words, input="open-sesame")
    assert result.exit_code == Exit.USAGE
    assert told in result.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--kind", "s3", "--url", "s3://lake/", "--endpoint", "https://s3.example"), "--access-key: "),
        (("--kind", "bearer", "--user", "ada"), "--user: "),
        (("--kind", "bearer", "--url", "http://h/"), "--url: expected https://.*on its way"),
        (("--kind", "basic", "--user", "ada", "--url", "https://h/a/../b"), r"--url: expected no '\.\.'"),
        (("--kind", "bearer", "--secret-file", "-"), "the secret: expected at least"),
    ],
)
def test_a_problem_names_its_option(words: tuple[str, ...], told: str) -> None:
    """Not the field of the wire; and nobody is asked."""
    with pytest.raises(InvalidJob, match=told):
        run(FakeClient(), "credential", "set", "x", *words, input="abc")


def test_a_token_without_a_url_is_for_payloads() -> None:
    """Whoever forgot --url is told, when it is kept and in the list."""
    plain = CredentialView("tok", "bearer", "physics", "ann", NOW)
    assert (
        "--url"
        in run(FakeClient(keep_credential=plain), "credential", "set", "tok", "--kind", "bearer", input="sesame").stderr
    )
    assert run(FakeClient(credentials=(plain,)), "credential", "list").stdout.split()[-1] == "payloads"


@pytest.mark.parametrize(
    ("queues", "urls", "told"),
    [
        (("far",), (), "queue far"),
        (("far", "near"), (), "queues far, near"),
        (("far",), ("https://x.example/",), "https://x.example/, queue far"),
    ],
)
def test_what_computing_elements_are_spoken_to_with_is_for_their_queues(
    queues: tuple[str, ...], urls: tuple[str, ...], told: str
) -> None:
    """A credential that queues name says which, beside its URLs, and not that it is for payloads."""
    grid = CredentialView("grid", "bearer", "physics", "ann", NOW, urls, queues=queues)
    assert run(FakeClient(credentials=(grid,)), "credential", "list").stdout.splitlines()[1].rstrip().endswith(told)


def test_bytes_that_are_no_text_are_refused() -> None:
    """Without a traceback, and without quoting them."""
    result = run(FakeClient(), "credential", "set", "x", input=b"\xff\xfesesame")
    assert result.exit_code == Exit.USAGE
    assert "UTF-8" in result.stderr
    assert "sesame" not in result.output


def test_the_list_says_what_each_is_for_and_what_is_wrong() -> None:
    """One line each: kind, times, URLs, and what may be shown of it."""
    result = run(FakeClient(credentials=(VIEW, LAKE)), "credential", "list")
    heading, eos, lake = result.stdout.splitlines()
    assert heading.split() == ["NAME", "KIND", "SET", "EXPIRES", "FOR", "NOTE"]
    assert eos.split()[:2] == ["eos", "bearer"]
    assert eos.split()[-1] == "https://eos.example/a/"
    assert lake.split(maxsplit=6)[6].split(maxsplit=1) == ["s3://lake/", "it has expired, access_key AK, region r"]
    empty = run(FakeClient(credentials=()), "credential", "list")
    assert (empty.stdout, empty.exit_code) == ("", 0)
    assert "pilotage credential set" in empty.stderr


def test_the_history_names_pilots_and_jobs() -> None:
    """When, what, who, for which attempt."""
    events = (CredentialEvent(NOW, "pilot 12", "delivered", 7, 2, "to node3"), CredentialEvent(NOW, "ann", "set"))
    result = run(FakeClient(credential_history=events), "credential", "history", "eos")
    _, first, second = result.stdout.splitlines()
    assert first.split()[2:] == ["delivered", "pilot", "12", "7,", "attempt", "2", "to", "node3"]
    assert second.split()[2:] == ["set", "ann"]


def test_removing_is_one_question() -> None:
    """An owner may be named, and programs get a document."""
    fake = FakeClient(remove_credential=1200)
    result = run(fake, "credential", "remove", "eos", "--owner", "ben", "--json")
    assert fake.asked == [("remove_credential", ("eos", "ben"), {})]
    assert json.loads(result.stdout) == {"removed": "eos", "waiting": 1200}
    assert "1,200 waiting jobs name it" in run(fake, "credential", "remove", "eos").stderr
    assert run(FakeClient(remove_credential=0), "credential", "remove", "eos").stderr == ""


def test_the_client_asks_as_the_wire_says() -> None:
    """Each question goes to its address; the secret is in the body, never in a URL."""
    with responses.RequestsMock() as central:
        values = {"token": "open-sesame"}
        body = {"kind": "bearer", "values": values, "urls": ["https://h/"], "expires_in": 60, "version": 1}
        central.put(f"{URL}/v1/credentials/eos", match=[matchers.json_params_matcher(body)], **answer(VIEW))
        central.get(f"{URL}/v1/credentials", **answer(CredentialPage((VIEW,))))
        owner = matchers.query_param_matcher({"owner": "ben"})
        central.delete(f"{URL}/v1/credentials/eos", match=[owner], **answer(CredentialRemoved(3)))
        central.get(f"{URL}/v1/credentials/eos/history", **answer(CredentialHistory(())))
        one = client(Time())
        assert one.keep_credential("eos", "bearer", {"token": "open-sesame"}, ["https://h/"], 60) == VIEW
        assert one.credentials() == (VIEW,)
        assert one.remove_credential("eos", owner="ben") == 3
        assert one.credential_history("eos") == ()
        assert all("sesame" not in str(call.request.url) for call in central.calls)


def test_who_sets_it_anew_hears_how_many_get_it() -> None:
    """Jobs that run with the one before; where there are none, nothing is said."""
    for running, told in ((0, ""), (1, "1 running job gets it at its pilot's"), (3, "3 running jobs get it at their")):
        fake = FakeClient(keep_credential=replace(VIEW, running=running))
        said = run(fake, "credential", "set", "eos", "--kind", "bearer", input="open-sesame\n").stderr
        assert told in said
        assert ("heartbeat" in said) is bool(running)


def test_the_parts_of_a_refresh_token(tmp_path: Path) -> None:
    """What is no secret is an option; the client's secret comes from a file; what is wrong with it is told."""
    secret = tmp_path / "client"
    secret.write_text("client-secret\n")
    bad = replace(VIEW, kind="refresh-token", problem="it could not be refreshed: no answer (SSLError)")
    fake = FakeClient(keep_credential=bad)
    words = ("--kind", "refresh-token", "--token-url", "https://login.example/token", "--client-id", "ada")
    more = ("--scope", "storage.read", "--audience", "all", "--client-secret-file", str(secret))
    result = run(fake, "credential", "set", "eos", *words, *more, input="refresh-me\n")
    assert result.exit_code == 0
    assert asked(fake)[1:3] == (
        "refresh-token",
        {
            "token_url": "https://login.example/token",
            "client_id": "ada",
            "scope": "storage.read",
            "audience": "all",
            "client_secret": "client-secret",
            "refresh_token": "refresh-me",
        },
    )
    assert "of no use as it is: it could not be refreshed: no answer" in result.stderr
    assert "refresh-me" not in result.output
    with pytest.raises(InvalidJob, match="--client-id: .*--token-url: expected"):
        run(FakeClient(), "credential", "set", "eos", *words[:2], "--token-url", "http://login.example/", input="x")
