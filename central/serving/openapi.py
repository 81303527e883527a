"""The OpenAPI document, made from the table of routes and the records of the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any, get_type_hints

import msgspec

from central.serving.http import Route
from central.serving.router import PART, PATTERNS
from central.trust.rules import PEOPLE, Who
from central.version import software_version
from pilot.protocol import Problem

_REF = "#/components/schemas/{name}"
_INTEGER = "number"
_SECURITY = {
    "person": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API token, declared by its SHA-256 in the central's settings.",
    },
    "pilot": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`Pilot <token>`, and a signature by RFC 9421 with hmac-sha256 and the session key.",
    },
    "payload": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`Job <token>`: the sandbox of one job, while its attempt lives.",
    },
    "ticket": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`Ticket <ticket>`: the boot log of one pilot.",
    },
}
_SCHEMES = {Who.PILOT: "pilot", Who.AGED_PILOT: "pilot", Who.PAYLOAD: "payload", Who.TICKET: "ticket"}


def document(routes: Sequence[Route[Any]]) -> dict[str, Any]:
    """The whole document, as plain values."""
    kinds: dict[type, None] = {Problem: None}
    for route in routes:
        for kind in (route.message, route.reply):
            if kind is not None and kind is not bytes:
                kinds[kind] = None
    _, components = msgspec.json.schema_components(tuple(kinds), ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(PART.sub(r"{\g<name>}", route.path), {})[route.method.lower()] = _operation(route)
    made = {
        "openapi": "3.1.0",
        "info": {
            "title": "Pilotage",
            "version": software_version(),
            "description": "The interface of a Pilotage central, for pilots, people and programs.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _SECURITY},
    }
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(made))
    return plain


def _operation(route: Route[Any]) -> dict[str, Any]:
    module = route.handler.__module__.rpartition(".")[2]
    operation: dict[str, Any] = {
        "operationId": f"{module}_{route.handler.__name__}",
        "summary": route.summary,
        "description": route.handler.__doc__ or route.summary,
        "tags": [module],
        "responses": {
            str(route.status): _answer(route),
            "default": {
                "description": "Refused; `type` says why",
                "content": {"application/problem+json": {"schema": _reference(Problem)}},
            },
        },
        "security": _security(route),
    }
    parameters = [*_path_parameters(route), *_query_parameters(route), *_header_parameters(route)]
    if parameters:
        operation["parameters"] = parameters
    if route.message is not None or route.streams:
        binary = route.streams or route.message is bytes
        content = (
            {"application/octet-stream": {}}
            if binary
            else {"application/json": {"schema": _reference(route.message or Problem)}}
        )
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _answer(route: Route[Any]) -> dict[str, Any]:
    if route.reply is None:
        return {"description": route.summary, "content": {route.media: {}}}
    return {"description": route.summary, "content": {route.media: {"schema": _reference(route.reply)}}}


def _reference(kind: type) -> dict[str, str]:
    return {"$ref": _REF.format(name=kind.__name__)}


def _security(route: Route[Any]) -> list[dict[str, list[str]]]:
    if Who.ANYBODY in route.who:
        return [{}]
    roles = [who.value for who in route.who if who in (*PEOPLE, Who.SITE_ADMIN)]
    schemes: dict[str, list[str]] = {"person": roles} if roles else {}
    schemes.update({_SCHEMES[who]: [] for who in route.who if who in _SCHEMES})
    return [{name: needed} for name, needed in schemes.items()]


def _path_parameters(route: Route[Any]) -> list[dict[str, Any]]:
    parameters = []
    for part in PART.finditer(route.path):
        schema: dict[str, Any] = {"type": "string"}
        if part["pattern"] == _INTEGER:
            schema = {"type": "integer", "minimum": 1}
        elif part["pattern"]:
            schema["pattern"] = f"^{PATTERNS[part['pattern']]}$"
        parameters.append({"name": part["name"], "in": "path", "required": True, "schema": schema})
    return parameters


def _header_parameters(route: Route[Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": meaning}
        for name, meaning in route.headers.items()
    ]


def _query_parameters(route: Route[Any]) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    hints = get_type_hints(route.query)
    parameters = []
    for field in fields(route.query):
        (schema,), found = msgspec.json.schema_components((hints[field.name],), ref_template=_REF)
        schema = found[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else _inline(schema, found)
        required = field.default is MISSING and field.default_factory is MISSING
        parameters.append({"name": field.name, "in": "query", "required": required, "schema": schema})
    return parameters


def _inline(schema: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """The schema of a list of named values, with these written out."""
    items = schema.get("items")
    if isinstance(items, dict) and "$ref" in items:
        return {**schema, "items": found[items["$ref"].rpartition("/")[2]]}
    return schema
