"""That these tests find what they are for: a pin without a digest, a licence that does not let us, an advisory."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.dependencies.advisories import Accepted, Advisory, Osv, Unreachable, affecting, to_mend
from tests.dependencies.licences import Said, allowed, copyleft, unlicensed, unused
from tests.dependencies.locks import Pin, extras, needed, read_lock, unhashed

ANSWERS = Path(__file__).parents[1] / "data" / "advisories"
TODAY = date(2026, 11, 27)
HASH = f"--hash=sha256:{'ab' * 32}"
LOCK = f"""\
# made by somebody
good==1.0 \\
    {HASH} \\
    {HASH}
    # via
    #   -r requirements/run.in
    #   other-one
Other_One[more]==2.1 ; python_version < "3.12" \\
    {HASH}
    # via pilotage (pyproject.toml)
deep==3 \\
    {HASH}
    # via good
"""
PROJECT = """
[project]
dependencies = ["Good>=1"]
[project.optional-dependencies]
more = ["other.one[x]>=2"]
dev = ["pytest"]
"""


# -- locks ----------------------------------------------------------------------------------------------------------
def test_a_lock_is_read() -> None:
    """Names in one spelling, with versions, digests, and who wants each."""
    pins, others = read_lock(LOCK.replace("[more]", ""))
    assert others == ()
    assert pins[0] == Pin("good", "1.0", 2, ("-r requirements/run.in", "other-one"))
    assert [(pin.name, pin.hashes) for pin in pins] == [("good", 2), ("other-one", 1), ("deep", 1)]
    assert needed(pins, ["other.one"]) == {"other-one", "good", "deep"}
    assert needed(pins, ["deep"]) == {"deep"}
    assert extras(PROJECT) == {"": ("good",), "more": ("other-one",)}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("bare==1.0\n", "bare 1.0 has no SHA-256"),
        (f"short==1.0 \\\n    {HASH[:-3]}\n", "short 1.0 has no SHA-256"),
        ("weak==1.0 \\\n    --hash=md5:0cc175b9c0f1b6a831c399e269772661\n", "weak 1.0 has no SHA-256"),
        (f"loose>=1.0 \\\n    {HASH}\n", "expected a pinned version, got 'loose>=1.0"),
        ("-e .\n", "expected a pinned version, got '-e .'"),
        ("--index-url https://somewhere.example\n", "expected a pinned version"),
        (f"far @ https://somewhere.example/far.whl \\\n    {HASH}\n", "expected a pinned version"),
    ],
)
def test_what_is_let_in_unseen_is_found(line: str, says: str) -> None:
    """Without a digest, or without a version."""
    text = LOCK.replace("[more]", "")
    assert unhashed("some", text) == []
    (problem,) = unhashed("some", text + line)
    assert problem.startswith("some.lock: ")
    assert says in problem


# -- licences -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("said", "name", "good"),
    [
        (Said("MIT"), "MIT", True),
        (Said("Apache-2.0 OR GPL-3.0-only"), "Apache-2.0 OR GPL-3.0-only", True),
        (Said("Apache-2.0 AND GPL-3.0-only"), "Apache-2.0 AND GPL-3.0-only", False),
        (Said("MIT AND (GPL-2.0-only OR BSD-3-Clause)"), "MIT AND (GPL-2.0-only OR BSD-3-Clause)", True),
        (Said("GPL-2.0-only OR MIT AND AGPL-3.0-only"), "GPL-2.0-only OR MIT AND AGPL-3.0-only", False),
        (Said("Apache-2.0 WITH LLVM-exception"), "Apache-2.0 WITH LLVM-exception", True),
        (Said("GPL-3.0-only WITH GCC-exception-3.1"), "GPL-3.0-only WITH GCC-exception-3.1", False),
        (Said("MIT AND"), "MIT AND", False),
        (Said("MIT GPL-3.0-only"), "MIT GPL-3.0-only", False),
        (Said("", "MIT License", ("GNU General Public License v3 (GPLv3)",)), "MIT", True),
        (Said("", "", ("MIT License", "BSD License")), "MIT AND BSD", True),
        (Said("", "", ("MIT License", "GNU General Public License v3 (GPLv3)")), None, False),
        (Said("", "Dual License", ("BSD License", "Apache Software License")), "BSD AND Apache-2.0", True),
        (Said("", "LICENSE", (), "Mozilla Public License Version 2.0\n====\n"), "MPL-2.0", True),
        (Said("", "UNKNOWN", (), "   GNU AFFERO GENERAL PUBLIC LICENSE\n  Version 3"), "AGPL", False),
        (Said("", "", (), "You may do as you like."), "", False),
        (Said("", "Free for academic use", ()), "Free for academic use", False),
        (Said(), "", False),
    ],
)
def test_what_a_licence_allows(said: Said, name: str | None, good: bool) -> None:
    """The expression counts before the field, that before the classifiers, which all count, they before the file."""
    if name is not None:
        assert said.named() == name
    assert allowed(said.named()) == good


def test_a_bad_licence_is_found_where_it_reaches_people() -> None:
    """It is told by which way, unless that is an extra of the table; a row for nothing is told as well."""
    says = {"a": Said("MIT"), "b": Said("GPL-3.0-only"), "c": Said("EPL-2.0 OR GPL-2.0-or-later")}
    ways = {"run.lock": {"a", "b"}, "ssh": {"a", "c"}, "more": {"c", "gone"}}
    table = "| `ssh` | `c` | EPL |\n| `ssh` | `d` | GPL |\n"
    assert unlicensed(ways, says.get, copyleft(table)) == [
        "run.lock: b is under GPL-3.0-only",
        "more: c is under EPL-2.0 OR GPL-2.0-or-later",
        "more: gone is not installed here, so nobody knows its licence; install dev.lock",
    ]
    assert unused(ways, copyleft(table), ["ssh"]) == ["ssh: d"]


# -- advisories -----------------------------------------------------------------------------------------------------
@contextmanager
def answering(answers: dict[str, Any]) -> Iterator[str]:
    """A server with these answers by path; `None` is none that OSV would give."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = (
                b"<html>log in first</html>" if (said := answers.get(self.path)) is None else json.dumps(said).encode()
            )
            self.send_response(200 if self.path in answers else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *words: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def told(name: str) -> Any:
    return json.loads((ANSWERS / f"{name}.json").read_bytes())


PINS = (Pin("jinja2", "3.1.4", 1, ()), Pin("sound", "1.0", 1, ()))


def test_an_advisory_with_a_mended_version_is_found() -> None:
    """As OSV answers: which package, which advisory, and which versions to take."""
    batch, advisory = told("batch"), told("advisory")
    with answering({"/v1/querybatch": batch, f"/v1/vulns/{advisory['id']}": advisory}) as url, Osv(url) as osv:
        found = osv.about(PINS)
    assert found == [Advisory("jinja2", "3.1.4", advisory["id"], ("3.1.5",))]
    (problem,) = to_mend(found, (), TODAY)
    assert problem.startswith(f"jinja2 3.1.4: {advisory['id']} is mended in 3.1.5; ")


def test_an_advisory_that_nobody_has_mended_is_none_to_mend() -> None:
    """Nor is one that was withdrawn, or is about something else."""
    advisory = told("advisory")
    open_still = json.loads(json.dumps(advisory).replace('"fixed"', '"last_affected"'))
    assert to_mend(list(affecting("jinja2", "3.1.4", open_still)), (), TODAY) == []
    assert list(affecting("jinja2", "3.1.4", {**advisory, "withdrawn": "2026-01-01T00:00:00Z"})) == []
    assert to_mend(list(affecting("another", "1", advisory)), (), TODAY) == []


def test_what_is_accepted_is_for_a_while_and_for_a_reason() -> None:
    """After its date, and when it affects nothing any more, somebody has to look again."""
    found = [Advisory("jinja2", "3.1.4", "ONE", ("3.1.5",))]
    assert to_mend(found, (Accepted("ONE", "it renders nothing of others", TODAY),), TODAY) == []
    late = to_mend(found, (Accepted("ONE", "it renders nothing of others", date(2026, 11, 26)),), TODAY)
    assert [problem.partition(";")[0] for problem in late] == [
        "jinja2 3.1.4: ONE is mended in 3.1.5",
        "ONE was accepted until 2026-11-26: look again",
    ]
    assert to_mend([], (Accepted("ONE", "…", TODAY),), TODAY) == ["ONE is accepted and affects nothing any more"]


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {"/v1/querybatch": None},
        {"/v1/querybatch": {"results": []}},
        {"/v1/querybatch": {"results": [{"vulns": [{"id": "X"}]}, {}]}},
        {"/v1/querybatch": []},
        {"/v1/querybatch": {"results": [{}, {"next_page_token": "x"}]}},
    ],
)
def test_who_does_not_answer_like_osv_has_not_said_that_all_is_well(answers: dict[str, Any]) -> None:
    """A page to log in, an error, or half an answer: nobody was asked."""
    with answering(answers) as url, Osv(url) as osv, pytest.raises(Unreachable):
        osv.about(PINS)


def test_nobody_there() -> None:
    """Where nothing listens, it is told at once."""
    with answering({}) as url:
        pass
    with Osv(url) as osv, pytest.raises(Unreachable, match="ConnectionError"):
        osv.about(PINS)
