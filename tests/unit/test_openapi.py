"""The published interface."""

from __future__ import annotations

import json
from pathlib import Path

from openapi_spec_validator import OpenAPIV31SpecValidator

from central.routes import EVERY_ROUTE
from central.serving.openapi import document

PUBLISHED = Path(__file__).parents[2] / "docs" / "openapi.json"


def test_the_document_is_sound() -> None:
    """The document made from the table of routes validates as OpenAPI 3.1."""
    OpenAPIV31SpecValidator(document(EVERY_ROUTE)).validate()


def test_the_published_document_is_the_present_one() -> None:
    """docs/openapi.json is what the code says; when it is not: `python -m central openapi > docs/openapi.json`."""
    made = document(EVERY_ROUTE)
    published = json.loads(PUBLISHED.read_text())
    made["info"].pop("version")
    published["info"].pop("version")
    assert published == made


def test_every_route_says_who_may_call_it() -> None:
    """No route without callers, without a summary or without words about it, and none twice."""
    assert all(route.who and route.summary and route.handler.__doc__ for route in EVERY_ROUTE)
    assert len({(route.method, route.path) for route in EVERY_ROUTE}) == len(EVERY_ROUTE)
