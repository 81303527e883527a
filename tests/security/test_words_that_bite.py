"""What means something to a shell, a database, a terminal or a path, in every string that people send.

Each is kept as it is, to the letter, or refused as invalid with its place; it is never a fault, and does nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import requests

from pilot.views import JobDetail, JobPage
from tests import postgres
from tests.integration.conftest import CentralMaker
from tests.integration.running_central import RunningCentral
from tests.security.conftest import UNCOUNTED

TRAP = "/tmp/pilotage-trap"
WORDS = {
    "sql": "'; DROP TABLE jobs; --",
    "sql-or": "' OR '1'='1' --",
    "sql-double": '"; DELETE FROM pilots; SELECT "',
    "sql-dollar": "$$; DROP TABLE jobs; $$",
    "like": "%_\\%",
    "substitution": f"$(touch {TRAP})",
    "backticks": f"`touch {TRAP}`",
    "semicolon": f"; touch {TRAP} #",
    "pipe": f"| touch {TRAP}",
    "and": f"&& touch {TRAP} &",
    "newline": f"a\ntouch {TRAP}\n",
    "redirect": f"> {TRAP}",
    "glob": "*?[a-z]{a,b}~root",
    "option": "--help",
    "header": "x\r\nSet-Cookie: a=b\r\n\r\n",
    "nul": "a\0b",
    "bell": "a\x07\x08\x7fb",
    "escape": "\x1b[2J\x1b]0;owned\x07",
    "c1": "a\x9b31mb",
    "bidi": "a\u202egnp.exe",
    "separator": "a\u2028b\ufeff",
    "emoji": "\U0001f4a3é",
    "format": "%s%n%x{0.__class__}{}",
    "template": "{{7*7}}${7*7}<%= 7*7 %>",
    "html": "<script>alert(1)</script>",
    "parent": "../../../etc/passwd",
    "absolute": "/etc/passwd",
    "drive": "C:\\Windows\\..\\x",
    "long": "x" * 300_000,
    "deep": "(" * 5000,
    "empty": "",
    "space": " ",
}
#: A job with the word in one of its strings, and where it is read back, if it is.
STRINGS: dict[str, tuple[Callable[[str], dict[str, Any]], Callable[[JobDetail], object] | None]] = {
    "command": (lambda word: {"command": ["echo", word]}, lambda job: job.command[1]),
    "program": (lambda word: {"command": [word]}, lambda job: job.command[0]),
    "executable": (lambda word: {"executable": word}, None),
    "arguments": (lambda word: {"executable": "echo", "arguments": [word]}, lambda job: job.command[1]),
    "name": (lambda word: {"name": word}, lambda job: job.job.name),
    "environment": (lambda word: {"environment": {"X": word}}, None),
    "variable": (lambda word: {"environment": {word: "x"}}, None),
    "input": (lambda word: {"inputs": [word]}, None),
    "input-url": (lambda word: {"inputs": [{"url": f"https://h/{word}", "name": "x"}]}, None),
    "input-name": (lambda word: {"inputs": [{"url": "https://h/x", "name": word}]}, None),
    "file": (lambda word: {"inputs": ["x"], "files": {"x": {"sha256": word, "size": 1}}}, None),
    "output": (lambda word: {"outputs": [word]}, None),
    "destination": (lambda word: {"outputs": [{"path": "x", "to": [word]}]}, None),
    "destination-path": (lambda word: {"outputs": [{"path": "x", "to": [f"https://h/{word}"]}]}, None),
    "checkpoint": (lambda word: {"checkpoint": [word]}, None),
    "container": (lambda word: {"container": word}, None),
    "credential": (lambda word: {"credentials": [word]}, None),
    "isolation": (lambda word: {"isolation": word}, None),
    "signal": (lambda word: {"stop_signal": {"before": "1 min", "signal": word}}, None),
    "signal-program": (lambda word: {"stop_signal": {"before": "1 min", "signal": "SIGTERM", "program": word}}, None),
    "sweep": (lambda word: {"command": ["echo", "{x}"], "sweep": {"x": [word]}}, None),
    "sweep-name": (lambda word: {"sweep": {word: [1]}}, None),
    "key": (lambda word: {word: 1}, None),
    "memory": (lambda word: {"needs": {"memory": word}}, None),
    "wall-time": (lambda word: {"needs": {"wall_time": word}}, None),
    "tags": (lambda word: {"needs": {"tags": word}}, None),
    "site": (lambda word: {"needs": {"sites": [word]}}, None),
    "platform": (lambda word: {"needs": {"platform": {"glibc": word}}}, None),
    "need": (lambda word: {"needs": {word: 1}}, None),
}
#: The statuses of what is taken, and of what is refused.
GOOD, BAD = 201, (413, 422)


#: Where there is no PostgreSQL, the lane api-postgres says so.
STORES = ("sqlite",) if postgres.missing() else ("sqlite", "postgres")


@pytest.fixture(scope="module", params=STORES)
def central(request: pytest.FixtureRequest, make_central: CentralMaker) -> RunningCentral:
    """One central over each store."""
    if request.param == "sqlite":
        return make_central(f'{UNCOUNTED}\ndatabase = "central.db"')
    return make_central(f'{UNCOUNTED}\ndatabase = "{postgres.cluster().database()}"')


def told(answer: requests.Response) -> str:
    """That it is a refusal as all are, with its place where there is one; the word is not in a header."""
    assert answer.status_code in BAD, answer.text[:500]
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert len(answer.content) < 100_000
    assert "Set-Cookie" not in answer.headers
    return str(answer.json()["type"])


@pytest.mark.parametrize("string", STRINGS)
def test_every_string_of_a_job(central: RunningCentral, string: str) -> None:
    """A job with such a word is refused with the place of it, or comes back with the word as it was sent, in lists,
    explanations and everything else that is read."""
    ann = central.person("ann")
    make, read = STRINGS[string]
    for kind, word in WORDS.items():
        answer = ann.post("/v1/jobs", json={"jobs": [{"command": ["true"], **make(word)}]})
        if string in ("executable", "arguments"):
            answer = ann.post("/v1/jobs", json={"jobs": [make(word)]})
        if answer.status_code != GOOD:
            assert told(answer) in ("invalid", "too-large"), (string, kind)
            continue
        job = answer.json()["jobs"][0]["first"]
        detail = ann.read(f"/v1/jobs/{job}", JobDetail)
        assert read is None or read(detail) == word, (string, kind)
        for path in (f"/v1/jobs/{job}/explain", f"/v1/jobs/{job}/attempts", "/v1/jobs?limit=3", "/v1/queues"):
            assert ann.get(path).status_code == 200, (string, kind, path)
    assert ann.get("/v1/jobs").status_code == 200


def test_what_pilots_get_is_what_was_sent(central: RunningCentral) -> None:
    """The words reach the pilot as one argument and one variable each, not split, not filled in, not unescaped."""
    ann = central.person("ann")
    ann.post("/v1/jobs/kill", json={"selection": {"states": ["waiting"]}})
    pilot = central.pilot()
    for kind, word in WORDS.items():
        job = {"command": ["echo", word], "environment": {"X": word}, "priority": 10}
        if ann.post("/v1/jobs", json={"jobs": [job]}).status_code == GOOD:
            lease = pilot.match().leases[0]
            assert (lease.spec.command, dict(lease.spec.environment)) == (("echo", word), {"X": word}), kind
            pilot.succeed(lease)
    pilot.bye()


@pytest.mark.parametrize("key", ["name", "owner", "group", "site", "queue", "community", "cursor", "states", "ids"])
def test_every_filter(central: RunningCentral, key: str) -> None:
    """A filter with such a word finds nothing, or is refused; it never finds more than what it says."""
    ann = central.person("ann")
    ann.submit_one()
    for kind, word in WORDS.items():
        if not word or kind == "long":
            continue
        answer = ann.get(f"/v1/jobs?{key}={quote(word)}&limit=5")
        if answer.status_code == 200:
            found = [getattr(job, key, word) for job in _page(answer).jobs]
            assert all(value.startswith(word) for value in found), (key, kind)
        else:
            assert answer.status_code in (404, 414, 422), (key, kind, answer.text[:300])


def _page(answer: requests.Response) -> JobPage:
    return msgspec.json.decode(answer.content, type=JobPage)


#: Other requests with strings: method, path, and the body around the word.
OTHERS: list[tuple[str, str, Callable[[str], dict[str, Any]]]] = [
    ("POST", "/v1/jobs/hold", lambda word: {"selection": {"owner": "ann"}, "reason": word}),
    ("POST", "/v1/jobs/hold", lambda word: {"selection": {"name": word, "owner": "ann"}}),
    ("POST", "/v1/jobs/explain", lambda word: {"selection": {"name": word}}),
    ("POST", "/v1/jobs/explain", lambda word: {"selection": {"owner": "ann"}, "cursor": word}),
    ("PUT", "/v1/credentials/one", lambda word: {"kind": "text", "values": {"text": word}}),
    ("PUT", "/v1/credentials/one", lambda word: {"kind": "bearer", "values": {"token": "abcdef"}, "urls": [word]}),
    ("PUT", "/v1/credentials/one", lambda word: {"kind": word, "values": {word: word}}),
    ("POST", "/v1/tokens", lambda word: {"scopes": ["read"], "name": word}),
    ("POST", "/v1/tokens", lambda word: {"scopes": [word]}),
    ("POST", "/v1/tokens", lambda word: {"scopes": ["read"], "user": word, "group": word}),
    ("POST", "/v1/members", lambda word: {"user": word, "group": "muons"}),
    ("POST", "/v1/members", lambda word: {"user": "new", "group": word, "role": word}),
    ("POST", "/v1/members/revoke", lambda word: {"user": word, "reason": word}),
    ("POST", "/v1/communities", lambda word: {"name": word}),
    ("POST", "/v1/communities/physics/groups", lambda word: {"name": word}),
    ("POST", "/v1/queues/local/pause", lambda word: {"reason": word}),
    ("POST", "/v1/sites/here/ban", lambda word: {"reason": word, "seconds": 60}),
    ("POST", "/v1/sites", lambda word: {"name": word, "text": word, "toml": word}),
    ("POST", "/v1/queues", lambda word: {"name": word, "text": word, "toml": word}),
    ("POST", "/v1/enrolments", lambda word: {"queue": word, "name": word, "reason": word}),
    ("POST", "/v1/bundles/tools/pin", lambda word: {"sha256": word}),
]


@pytest.mark.parametrize(("method", "path", "make"), OTHERS, ids=[f"{m} {p} {i}" for i, (m, p, _) in enumerate(OTHERS)])
def test_every_other_request(
    central: RunningCentral, method: str, path: str, make: Callable[[str], dict[str, Any]]
) -> None:
    """Whatever else is said, by an operator too, is taken as it is or refused."""
    oli = central.person("oli")
    for kind, word in WORDS.items():
        answer = oli.request(method, path, json=make(word))
        assert answer.status_code < 500, (kind, answer.text[:500])
        assert "Set-Cookie" not in answer.headers
        assert oli.get("/v1/whoami").status_code == 200


@pytest.mark.parametrize(
    "path", ["/v1/jobs/{}", "/v1/pilots/{}", "/v1/queues/{}/explain", "/v1/credentials/{}/history"]
)
def test_every_path(central: RunningCentral, path: str) -> None:
    """A path with such a word in it leads nowhere, encoded once or twice."""
    oli = central.person("oli")
    for kind, word in WORDS.items():
        for part in (quote(word, safe=""), quote(quote(word, safe=""), safe="")):
            if len(part) < 7000 and part and kind != "option":
                answer = oli.get(path.format(part))
                assert answer.status_code in (404, 405, 414), (kind, answer.status_code)


RAW = {
    "latin-1": '{"jobs": [{"command": ["é"]}]}'.encode("latin-1"),
    "cut": '{"jobs": [{"command": ["é"]}]}'.encode()[:-8],
    "overlong": b'{"jobs": [{"command": ["\xc0\xaf"]}]}',
    "surrogate": b'{"jobs": [{"command": ["\xed\xa0\x80"]}]}',
    "escaped-surrogate": b'{"jobs": [{"command": ["\\ud800"]}]}',
    "utf-16": '{"jobs": [{"command": ["true"]}]}'.encode("utf-16"),
    "bom": b'\xef\xbb\xbf{"jobs": [{"command": ["true"]}]}',
    "nul": b"\0" * 100,
    "huge-number": b'{"jobs": [{"command": ["true"], "priority": ' + b"9" * 5000 + b"}]}",
    "exponent": b'{"jobs": [{"command": ["true"], "priority": 1e999}]}',
    "nan": b'{"jobs": [{"command": ["true"], "priority": NaN}]}',
    "deep": b'{"jobs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "twice": b'{"jobs": [{"command": ["true"]}], "jobs": [7]}',
    "many": json.dumps({"jobs": [{"command": ["true"], "sweep": {"x": "1..999999999999"}}]}).encode(),
    "product": json.dumps({"jobs": [{"command": ["true"], "sweep": dict.fromkeys("abcdefgh", "1..100")}]}).encode(),
}


@pytest.mark.parametrize("kind", RAW)
def test_what_is_no_text_is_refused(central: RunningCentral, kind: str) -> None:
    """Bytes that are no UTF-8, no JSON, or more than anybody means, are refused before anything is kept."""
    ann = central.person("ann")
    before = ann.read("/v1/jobs?limit=1", JobPage).jobs
    assert told(ann.post("/v1/jobs", data=RAW[kind])) in ("invalid", "too-large")
    assert ann.read("/v1/jobs?limit=1", JobPage).jobs == before
