"""What asks OpenStack, in one thread: blocking, with the credential as it is at the moment."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
from libcloud.common.exceptions import BaseHTTPError
from libcloud.common.types import LibcloudError
from urllib3.exceptions import HTTPError

from central.clouds.openstack import errors
from central.clouds.openstack.connection import Service, Tokens, service
from central.configuration.elements import Cloud
from central.elements.port import ComputingError, Trouble

#: Pages of one list: a million of what Nova has, which gives out a thousand at a time.
PAGES = 1000
WHO = {"compute": "Nova", "image": "Glance", "network": "Neutron"}
#: What Libcloud raises, and lets through of what it stands on, where there was no answer or none that can be read.
_UNANSWERED = (LibcloudError, HTTPError, OSError, ValueError)


@dataclass(frozen=True)
class _Request:
    """What one service is asked. `version`: Nova's microversion, empty for its first."""

    kind: str
    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    version: str = ""


class Client:
    """The services of one cloud. `held` is the file with the credential, `tokens` are shared with other threads."""

    def __init__(self, cloud: Cloud, held: Path, tokens: Tokens) -> None:
        self.cloud = cloud
        self.held = held
        self.tokens = tokens
        self._credential: tuple[str, str] = ("", "")
        self._services: dict[str, Service] = {}

    def get(self, kind: str, path: str, params: Mapping[str, str] | None = None, version: str = "") -> Any:
        """What a service has there. Raises `ComputingError`."""
        request = _Request(kind, "GET", path, params or {}, version=version)
        try:
            return self._asked(request)
        except requests.ConnectionError:  # as of a connection that was kept, and that the other side has let go
            return self._answer(request)

    def pages(
        self, kind: str, path: str, key: str, params: Mapping[str, str] | None = None, version: str = ""
    ) -> Iterator[Any]:
        """Everything in a list that comes in pages, as long as somebody waits for it. Raises `ComputingError`."""
        given, end = dict(params or {}), time.monotonic() + self.cloud.patience
        for _ in range(PAGES):
            if time.monotonic() > end:
                sentence = f"{WHO[kind]} needs more than {self.cloud.patience:g} s for all pages of {key}"
                raise ComputingError(sentence, Trouble.UNREACHABLE)
            page = self.get(kind, path, given, version)
            yield from page[key]
            link = page.get("next") or next(
                (one["href"] for one in page.get(f"{key}_links", ()) if one["rel"] == "next"), ""
            )
            following = {**given, **dict(parse_qsl(urlsplit(link).query))}
            if not link or following == given:
                return
            given = following
        raise ComputingError(f"{WHO[kind]} has more than {PAGES} pages of {key}", Trouble.UNREACHABLE)

    def post(self, kind: str, path: str, body: Mapping[str, Any]) -> Any:
        return self._answer(_Request(kind, "POST", path, body=body))

    def delete(self, kind: str, path: str) -> None:
        self._answer(_Request(kind, "DELETE", path))

    def project(self) -> str:
        """The id of the project that the credential is for. Raises `ComputingError`."""
        self.get("compute", "/")  # whoever has an answer has a token
        identity = self._service("compute").get_auth_class()
        try:
            told = identity.authenticated_request("/v3/auth/tokens", headers={"X-Subject-Token": identity.auth_token})
        except BaseHTTPError as error:
            raise errors.answered("Keystone", error.code, str(error.message), error.headers) from error
        except _UNANSWERED as error:
            raise errors.unanswered("Keystone", error) from error
        return str(told.object["token"]["project"]["id"])

    def _answer(self, request: _Request) -> Any:
        """What it is answered with. Raises `ComputingError`."""
        try:
            return self._asked(request)
        except requests.ConnectionError as error:
            raise errors.unanswered(WHO[request.kind], error) from error

    def _asked(self, request: _Request) -> Any:
        """One request, and once more with a new token where the old one was not taken. Raises `ComputingError`, and
        `requests.ConnectionError`."""
        whom, there = WHO[request.kind], self._service(request.kind)
        headers = {"OpenStack-API-Version": f"compute {request.version}"} if request.version else {}
        for attempt in (1, 2):
            try:
                asked = there.request(
                    request.path, dict(request.params), dict(request.body) or "", headers, request.method
                )
                return asked.object
            except (ComputingError, requests.ConnectionError):
                raise
            except BaseHTTPError as error:
                if error.code == 401 and attempt == 1:
                    continue  # the token was revoked, or has expired by their clock: Libcloud has let go of it
                # Nova's own words may have the user-data in them, so that they do not go along.
                raise errors.answered(whom, error.code, str(error.message), error.headers) from None
            except _UNANSWERED as error:
                raise errors.unanswered(whom, error) from error
        raise AssertionError("the second attempt returns or raises")

    def let_go(self) -> None:
        for one in self._services.values():
            one.let_go()
        self._services = {}

    def _service(self, kind: str) -> Service:
        credential = read(self.held)
        if credential != self._credential:
            self.let_go()
            self._credential = credential
        if kind not in self._services:
            cloud = self.cloud
            self._services[kind] = service(
                kind, cloud.url, credential, cloud.ca, cloud.region, cloud.patience, self.tokens
            )
        return self._services[kind]


def read(held: Path) -> tuple[str, str]:
    """Id and secret of the application credential. Raises `ComputingError`."""
    try:
        values = json.loads(held.read_text(encoding="utf-8"))
        return str(values["id"]), str(values["secret"])
    except OSError as error:
        sentence = f"there is no application credential in {held}: {error.strerror or error}"
        raise ComputingError(sentence, Trouble.CREDENTIAL) from error
    except (ValueError, KeyError, TypeError) as error:
        sentence = f"{held}: expected an application credential, an object with id and secret"
        raise ComputingError(sentence, Trouble.CREDENTIAL) from error
