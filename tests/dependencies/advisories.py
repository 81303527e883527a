"""Known advisories about what the locks pin, as OSV has them: for whom there is a mended version we want that one."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import requests

from tests.dependencies.locks import Pin, normal

#: Asked in the language of https://google.github.io/osv.dev/api/; it knows of PyPI's packages what pip-audit knows.
OSV = "https://api.osv.dev"
#: Seconds to connect, and between two bytes: it must not hold anything up where it cannot be reached.
TIMEOUT = (3.0, 10.0)
#: Advisories that are read in full; more than that are a fault of somebody's.
MOST = 200


@dataclass(frozen=True)
class Accepted:
    """An advisory that we live with for a while. `until`: when somebody has to look at it again."""

    id: str
    reason: str
    until: date


#: Each with why it does no harm here.
ACCEPTED: tuple[Accepted, ...] = ()


@dataclass(frozen=True)
class Advisory:
    """One that a pinned version is affected by. `fixed`: versions in which it is mended."""

    name: str
    version: str
    id: str
    fixed: tuple[str, ...]


class Unreachable(Exception):
    """Nobody could be asked."""


class Osv:
    """Asks OSV, or what stands at another address and answers like it."""

    def __init__(self, url: str = OSV) -> None:
        self._url = url
        self._session = requests.Session()

    def __enter__(self) -> Osv:
        return self

    def __exit__(self, *error: object) -> None:
        self._session.close()

    def about(self, pins: Collection[Pin]) -> list[Advisory]:
        """What is known about these versions. Raises `Unreachable`."""
        asked = sorted({(pin.name, pin.version) for pin in pins})
        queries = [{"package": {"name": name, "ecosystem": "PyPI"}, "version": version} for name, version in asked]
        try:
            found = self._ask("POST", "/v1/querybatch", {"queries": queries})["results"]
            if len(found) != len(asked):
                raise Unreachable(f"expected {len(asked)} answers, got {len(found)}")
            answered = zip(asked, found, strict=True)
            pairs = [(one, known["id"]) for one, result in answered for known in result.get("vulns", ())]
            if len(pairs) > MOST or any("next_page_token" in result for result in found):
                raise Unreachable(f"expected at most {MOST} advisories, got more")
            return [advisory for one, id in pairs for advisory in affecting(*one, self._ask("GET", f"/v1/vulns/{id}"))]
        except (KeyError, TypeError, AttributeError) as error:
            raise Unreachable(f"{self._url} did not answer as OSV does ({error!r})") from error

    def _ask(self, method: str, path: str, message: object = None) -> Any:
        try:
            answer = self._session.request(method, self._url + path, json=message, timeout=TIMEOUT)
            answer.raise_for_status()
            return answer.json()
        except (requests.RequestException, ValueError) as error:
            raise Unreachable(f"{self._url}: {type(error).__name__}") from error


def affecting(name: str, version: str, told: Any) -> Iterator[Advisory]:
    """What an advisory says of one package; nothing where it was withdrawn."""
    if told.get("withdrawn"):
        return
    events = [
        event
        for affected in told.get("affected", ())
        if normal(affected.get("package", {}).get("name", "")) == name
        for versions in affected.get("ranges", ())
        if versions.get("type") != "GIT"
        for event in versions.get("events", ())
    ]
    yield Advisory(name, version, told["id"], tuple(sorted({event["fixed"] for event in events if "fixed" in event})))


def to_mend(found: Sequence[Advisory], accepted: Sequence[Accepted], today: date) -> list[str]:
    """What has to be done now: a version to take, or an acceptance whose time is over or whose reason is gone."""
    good = {one.id for one in accepted if one.until >= today}
    problems = [
        f"{one.name} {one.version}: {one.id} is mended in {', '.join(one.fixed)}; `./dev lock --upgrade`, or accept it"
        for one in found
        if one.fixed and one.id not in good
    ]
    known = {one.id for one in found}
    problems += [f"{one.id} was accepted until {one.until}: look again" for one in accepted if one.until < today]
    return problems + [f"{one.id} is accepted and affects nothing any more" for one in accepted if one.id not in known]
