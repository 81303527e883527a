"""Every route at once: who is let in, what the interface says of itself, and how requests are refused."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from central.routes import EVERY_ROUTE, TABLE
from central.serving.http import Route
from central.serving.router import PART
from central.trust.rules import PEOPLE, Who
from pilot.errors import REFUSALS, Refusal
from pilot.protocol import MAX_MESSAGE
from pilot.states import JobState
from pilot.views import Health, WhoAmI
from tests.integration.conftest import CentralMaker
from tests.integration.running_central import PEOPLE as NAMES
from tests.integration.running_central import Person, RunningCentral, token_of
from tests.integration.wire_pilot import SignedPilot, decoded

#: What anybody may ask, and nothing else. Enrolment and login carry their proof in the message.
OPEN = {
    *("/v1/pilots/{stamp}/enrol", "/v1/pilot/{sha256}", "/v1/bundles/{sha256}", "/healthz", "/openapi.json"),
    *("/v1/login", "/v1/login/device", "/v1/login/token"),
}
OLDER = Path(__file__).with_name("central_with_version_0.py")


def refused(call: Callable[[], object]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        call()
    return caught.value


def plain(route: Route[Any]) -> str:
    return PART.sub(r"{\g<name>}", route.path)


def name_of(route: Route[Any]) -> str:
    return f"{route.method} {plain(route)}"


def filled(route: Route[Any], job: int, stamp: str) -> str:
    values = {
        "stamp": stamp,
        "job": str(job),
        "attempt": "1",
        "stream": "stdout",
        "sha256": hashlib.sha256(b"nobody has this").hexdigest(),
        "verb": "kill",
        "name": "local",
        "group": "muons",
        "peek": "1",
        "number": "1",
    }
    path = PART.sub(lambda part: values[part["name"]], route.path)
    return f"{path}?grep=x" if path.endswith("/search") else path


@pytest.fixture(scope="module")
def pilot(central: RunningCentral) -> SignedPilot:
    return central.pilot()


@pytest.fixture(scope="module")
def job(central: RunningCentral) -> int:
    return central.person("ann").submit_one()


@pytest.mark.parametrize("route", TABLE, ids=name_of)
def test_without_credentials_only_what_is_open_is_open(
    central: RunningCentral, job: int, pilot: SignedPilot, route: Route[Any]
) -> None:
    """Nobody passes without credentials, or with somebody else's kind of them, but where the route is declared open."""
    path = filled(route, job, pilot.stamp)
    nobody, stranger = central.person(None), central.person(None)
    stranger.headers["Authorization"] = "Bearer nobody-has-this-token"
    if plain(route) in OPEN:
        assert Who.ANYBODY in route.who
        assert nobody.request(route.method, path, data=b"{}").status_code not in (401, 403)
        return
    assert Who.ANYBODY not in route.who
    assert route.who
    for person in (nobody, stranger):
        assert person.request(route.method, path, data=b"{}").status_code == 401
    if not set(route.who) & set(PEOPLE):
        assert central.person("oli").request(route.method, path, data=b"{}").status_code == 403


@pytest.mark.parametrize("route", [route for route in TABLE if set(route.who) & set(PEOPLE)], ids=name_of)
def test_what_is_of_another_community_is_not_found(
    central: RunningCentral, job: int, pilot: SignedPilot, route: Route[Any]
) -> None:
    """Whatever names a job, a pilot or a file of another community answers as if it did not exist."""
    parts = {part["name"] for part in PART.finditer(route.path)}
    dan = central.person("dan")
    body = json.dumps({"selection": {"ids": [job]}, "verb": "drain", "jobs": []})
    if not parts & {"job", "stamp", "sha256", "verb"} or route.method == "PUT":
        return
    answer = dan.request(route.method, filled(route, job, pilot.stamp), data=body)
    if "verb" in parts:
        assert [result["changed"] for result in answer.json()["results"]] == [False]
        assert central.person("ann").job(job).state is JobState.WAITING
    elif Who.MEMBER in route.who:
        assert answer.status_code == 404
    else:
        assert answer.status_code == 403


def test_the_table_is_whole(central: RunningCentral) -> None:
    """Every route is in the published interface, with a summary, and no two are the same."""
    document = central.person(None).get("/openapi.json").json()
    described = {f"{method.upper()} {path}" for path, operations in document["paths"].items() for method in operations}
    assert described == {name_of(route) for route in EVERY_ROUTE}
    assert len(described) == len(EVERY_ROUTE)
    assert all(route.summary and route.handler.__doc__ for route in EVERY_ROUTE)


def test_the_interface_is_sound_openapi(central: RunningCentral) -> None:
    """The published document validates as OpenAPI 3.1, and names what secures each operation."""
    document = central.person(None).get("/openapi.json").json()
    OpenAPIV31SpecValidator(document).validate()
    match = document["paths"]["/v1/pilots/{stamp}/match"]["post"]
    assert match["security"] == [{"pilot": []}]
    assert document["components"]["schemas"]["Offer"]["properties"]["cores"] == {"type": "integer", "default": 0}


def test_nothing_and_the_wrong_method(central: RunningCentral) -> None:
    """A path that does not exist, and a method that it does not take, are problems like all others."""
    ann = central.person("ann")
    for path in ("/", "/v1", "/v1/jobs/x1", "/v1/jobs/0", "/v1/pilots/UPPER", "/v1/jobs/" + "9" * 40, "/v2/jobs"):
        answer = ann.get(path)
        assert answer.status_code == 404, path
        assert answer.json()["type"] == "not-found"
    wrong = ann.delete("/v1/jobs")
    assert (wrong.status_code, wrong.headers["Content-Type"]) == (405, "application/problem+json")
    assert "POST" in wrong.headers["Allow"] or "GET" in wrong.headers["Allow"]


def test_a_body_has_a_bound(central: RunningCentral, pilot: SignedPilot) -> None:
    """More than the bound is refused while it is read, with the bound, whether its length was announced or not."""
    url = f"{pilot.url}/v1/pilots/{pilot.stamp}/steps"
    body = b" " * (MAX_MESSAGE + 1)
    found = refused(lambda: decoded(pilot.send("POST", url, body), dict))
    assert (found.type, found.expected) == ("too-large", str(MAX_MESSAGE))
    headers = pilot.proof("POST", url, body)
    pieces = (body[:1_000_000] for _ in range(6))
    found = refused(lambda: decoded(pilot.http.post(url, data=pieces, headers=headers), dict))
    assert found.type == "too-large"


def test_every_refusal_says_the_same_of_itself(central: RunningCentral) -> None:
    """A refusal carries type, title, status and detail, and the status of the answer is the one in the table."""
    answer = central.person(None).get("/v1/whoami")
    problem = answer.json()
    kind = REFUSALS[problem["type"]]
    assert (answer.status_code, problem["status"], problem["title"]) == (kind.status, kind.status, kind.title)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_unknown_versions_are_refused(central: RunningCentral) -> None:
    """A message of a version that is not spoken is refused, and told which are."""
    answer = central.person("ann").post("/v1/jobs", json={"version": 9, "jobs": []})
    found = refused(lambda: decoded(answer, dict))
    assert (found.type, found.expected, found.got) == ("version", "1", "9")


def test_the_version_before_is_spoken(make_central: CentralMaker) -> None:
    """A program that speaks the version before submits a job, and is answered in its own words."""
    central = make_central(program=(str(OLDER),))
    ann = central.person("ann")
    answer = ann.post("/v1/jobs", json={"version": 0, "scripts": ["true", "echo hello"]})
    assert answer.status_code == 201, answer.text
    assert answer.json() == {"version": 0, "ids": [1, 2]}
    assert ann.job(2).state is JobState.WAITING
    assert ann.submit_one() == 3
    found = refused(lambda: decoded(ann.post("/v1/jobs", json={"version": 5, "jobs": []}), dict))
    assert found.expected == "0, 1"


def test_who_health_and_figures(central: RunningCentral, pilot: SignedPilot, job: int) -> None:
    """The central says who a token is, that it works, and its figures, the last to operators alone."""
    for name, (community, group, role) in NAMES.items():
        assert central.person(name).read("/v1/whoami", WhoAmI).role == role
        assert central.person(name).read("/v1/whoami", WhoAmI).community == community
        assert central.person(name).read("/v1/whoami", WhoAmI).group == group
    assert central.person(None).read("/healthz", Health).status == "ok"
    assert central.person("ann").get("/metrics").status_code == 403
    figures = central.person("oli").get("/metrics")
    assert figures.headers["Content-Type"].startswith("text/plain")
    assert 'pilotage_jobs{state="waiting"} 1.0' in figures.text
    assert 'pilotage_pilots{state="running"} 1.0' in figures.text
    assert 'pilotage_requests_total{method="GET",route="/healthz",status="200"}' in figures.text


def test_the_pilots_file_is_open_by_its_digest(central: RunningCentral) -> None:
    """Anybody may fetch the file that pilots are started from, by its digest, and no other file."""
    content = b"what pilots would be started from"
    answer = central.person(None).get(f"/v1/pilot/{hashlib.sha256(content).hexdigest()}")
    assert answer.content == content
    assert central.person(None).get(f"/v1/pilot/{'0' * 64}").status_code == 404


def test_tokens_are_not_told_apart_by_much(central: RunningCentral) -> None:
    """Wrong schemes, empty and enormous credentials are all nobody, and none of them is a fault of the central."""
    person = Person(central.url, central.ca, None)
    wrong = (
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Pilot ",
        "Job x.y",
        "Ticket é",
        f"Bearer {'x' * 6000}",
        token_of("ann"),
    )
    for value in wrong:
        person.headers["Authorization"] = value
        assert person.get("/v1/whoami").status_code == 401, value
    person.close()


def test_the_interface_is_printed(central: RunningCentral) -> None:
    """`python -m central openapi` prints the same document without a central."""
    command = [sys.executable, "-m", "central", "openapi"]
    done = subprocess.run(command, capture_output=True, check=True, cwd=OLDER.parents[2])
    assert json.loads(done.stdout) == central.person(None).get("/openapi.json").json()
