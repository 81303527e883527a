"""The published interface against requests that nobody thought of: Schemathesis makes them from the document itself.

Every operation is asked for by nobody, a member, an operator, a payload and a pilot that signs. No answer is a fault,
and each has a status, a type and a shape that the document names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, settings
from requests.auth import AuthBase

from central.routes import TABLE
from central.serving import sse
from central.serving.http import Route
from central.serving.openapi import document
from tests.integration.running_central import RunningCentral
from tests.integration.wire_pilot import SignedPilot
from tests.security.cast import Cast, as_person, name_of

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
checks = pytest.importorskip("schemathesis.specs.openapi.checks")

#: Requests of each kind; more where somebody has the time.
EXAMPLES = int(os.environ.get("PILOTAGE_FUZZ_EXAMPLES", "6"))
ROUTES = [route for route in TABLE if route.media != sse.MEDIA]
CALLERS = ("nobody", "member", "operator", "payload", "pilot")
CHECKS = (
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
)


class Signing(AuthBase):
    """Signs a request as a pilot does, once it is known to the byte."""

    def __init__(self, pilot: SignedPilot) -> None:
        self._pilot = pilot

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        content = body.encode() if isinstance(body, str) else bytes(body)
        request.headers.update(self._pilot.proof(str(request.method), str(request.url), content))
        return request


class Bearing(AuthBase):
    """Shows what somebody has, whatever else stands in the request."""

    def __init__(self, authorization: str | None) -> None:
        self._authorization = authorization

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.pop("Authorization", None)
        if self._authorization:
            request.headers["Authorization"] = self._authorization
        return request


@pytest.fixture(scope="module")
def interface() -> Any:
    return schemathesis.openapi.from_dict(document(TABLE))


@pytest.fixture(scope="module")
def session(central: RunningCentral) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False  # a bundle named in the environment would take the place of ours
        session.verify = central.ca
        yield session


@pytest.fixture(params=CALLERS)
def caller(request: pytest.FixtureRequest, central: RunningCentral, cast: Cast) -> AuthBase:
    """Somebody who is still what they were, whatever the last test has done."""
    if request.param == "pilot":
        return Signing(central.pilot())
    if request.param == "payload":
        return Bearing(f"Job {cast.leased()[1].job_token}")
    people = {"nobody": None, "member": "ann", "operator": "oli"}
    name = people[request.param]
    return Bearing(as_person(central, name)["Authorization"] if name else None)


def unhurried(case: Any, caller: AuthBase) -> None:
    """Make a request one that is answered at once, and half of the time one of a pilot about itself."""
    if isinstance(case.body, dict) and "wait" in case.body:
        case.body["wait"] = 0
    if isinstance(caller, Signing) and "stamp" in (case.path_parameters or {}):
        case.path_parameters["stamp"] = caller._pilot.stamp


@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_an_answer_is_what_the_document_says(
    central: RunningCentral, session: requests.Session, interface: Any, caller: AuthBase, route: Route[Any]
) -> None:
    """Whatever is asked, by whomever: no status of 500 and above, and nothing outside the published schema."""
    held_to = [check for check in CHECKS if route.method != "HEAD" or check is not checks.content_type_conformance]
    operation = interface[name_of(route).partition(" ")[2]][route.method]

    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    def ask(case: Any) -> None:
        unhurried(case, caller)
        case.call_and_validate(
            base_url=central.url, session=session, auth=caller, checks=held_to, timeout=60, verify=central.ca
        )

    ask()
