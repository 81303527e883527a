"""The table of docs/rights.md, made from the rules that routes declare: who may ask for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from central.serving.http import Route
from central.serving.router import PART
from central.trust.rules import PEOPLE, Who, scope_of
from pilot.errors import PilotageError

BEGIN, END = "<!-- made by `python -m central rights docs/rights.md` -->", "<!-- made until here -->"
_COLUMNS = ("request", "what it is for", "pilot", "payload", "ticket", "people, from", "site admins", "scope")
_YES, _NO = "yes", ""


def table(routes: Sequence[Route[Any]]) -> str:
    """A row for each route, in the order of their paths."""
    rows = [_row(route) for route in sorted(routes, key=lambda route: (route.path, route.method))]
    lines = [_COLUMNS, ["---"] * len(_COLUMNS), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(text: str, routes: Sequence[Route[Any]]) -> str:
    """The page with the table of these routes in its place. Raises `PilotageError` when it has no place for one."""
    before, begun, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise PilotageError(f"expected a page with the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{table(routes)}\n\n{END}{after}"


def _row(route: Route[Any]) -> tuple[str, ...]:
    request = f"`{route.method} {_plain(route.path)}`"
    if Who.ANYBODY in route.who:
        return request, route.summary, *["anybody"] * 5, _NO
    least = next((who for who in PEOPLE if who in route.who), None)
    return (
        request,
        route.summary,
        _pilot(route),
        _YES if Who.PAYLOAD in route.who else _NO,
        _YES if Who.TICKET in route.who else _NO,
        least.value if least else _NO,
        _YES if Who.SITE_ADMIN in route.who else _NO,
        scope_of(route.method, route.path).value if least or Who.SITE_ADMIN in route.who else _NO,
    )


def _plain(path: str) -> str:
    return PART.sub(r"{\g<name>}", path)


def _pilot(route: Route[Any]) -> str:
    if Who.AGED_PILOT in route.who:
        return "also when its token has aged"
    return _YES if Who.PILOT in route.who else _NO
