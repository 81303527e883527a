"""An OpenStack as `responses` gives it: Keystone with a catalogue, and what the services answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import requests
import responses

from central.clouds.openstack.provider import OpenStack
from central.clouds.port import Intent
from central.configuration.elements import Cloud
from central.elements.port import ComputingError

T = TypeVar("T")

OURS = "c0ffee01"
KEYSTONE, NOVA, GLANCE, NEUTRON = (
    *("https://cloud.example:5000", "https://nova.example:8774/v2.1"),
    *("https://glance.example:9292", "https://neutron.example:9696"),
)
TOKENS = f"{KEYSTONE}/v3/auth/tokens"
SECRET = "the-secret-of-the-credential"
CATALOGUE = {"compute": NOVA, "image": GLANCE, "network": NEUTRON}
FLAVOR = {"id": "f-1", "name": "small", "vcpus": 2, "ram": 4096, "disk": 20, "extra_specs": {"resources:VGPU": "1"}}
INTENT = Intent("5402366c", "zed", "small", "plain", b"#cloud-config\n{}\n", ("pilots",))


class Answers:
    """What is answered; `tokens` that Keystone gives out, one after another, and what has been asked of it."""

    def __init__(self, mock: responses.RequestsMock) -> None:
        self.mock = mock
        self.given = 0
        self.good: set[str] = set()
        self.expires = "2999-01-01T00:00:00.000000Z"
        self.catalogue: dict[str, dict[str, str]] = {kind: {"here": url} for kind, url in CATALOGUE.items()}
        self.asked: list[dict[str, Any]] = []
        mock.add_callback(responses.POST, TOKENS, self._token)
        self.nova("GET", "/", {"version": {"version": "2.93", "min_version": "2.1"}})
        self.nova("GET", "/flavors/detail", {"flavors": [FLAVOR]})
        self.add("GET", f"{GLANCE}/v2/images", {"images": [{"id": "i-1", "name": "plain"}]})
        networks = [{"id": "n-1", "name": "pilots"}, {"id": "n-2", "name": "outside", "router:external": True}]
        self.add("GET", f"{NEUTRON}/v2.0/networks", {"networks": networks})

    def _token(self, request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        self.asked.append(json.loads(request.body or b""))
        self.given += 1
        token = f"token-{self.given}"
        self.good.add(token)
        catalogue = [
            {
                "type": kind,
                "name": f"their-{kind}",
                "endpoints": [
                    {"interface": "public", "region": region, "region_id": region, "url": url, "id": "e"}
                    for region, url in urls.items()
                ],
            }
            for kind, urls in self.catalogue.items()
        ]
        told = {"token": {"expires_at": self.expires, "catalog": catalogue, "user": {"id": "u"}, "roles": []}}
        headers = {"X-Subject-Token": token, "Content-Type": "application/json"}
        return 201, headers, json.dumps(told)

    def add(self, method: str, url: str, told: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """What is answered there from now on, to whoever has a token that is still good."""

        def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
            if request.headers.get("X-Auth-Token") not in self.good:
                return 401, {"Content-Type": "application/json"}, '{"error": {"code": 401, "message": "who are you?"}}'
            value = told(request) if callable(told) else told
            if isinstance(value, Exception):
                raise value
            if isinstance(value, tuple):
                code, value = value
            else:
                code = status
            text = value if isinstance(value, str) else json.dumps(value)
            return code, {"Content-Type": "application/json", **(headers or {})}, text

        self.mock.remove(method, url)
        self.mock.add_callback(method, url, answer)

    def nova(self, method: str, path: str, told: Any, status: int = 200) -> None:
        self.add(method, f"{NOVA}{path}", told, status)

    def fault(self, status: int, message: str) -> tuple[int, dict[str, Any]]:
        """An error as Nova writes them."""
        return status, {"fault": {"code": status, "message": message}}

    def calls(self, method: str, url: str) -> list[requests.PreparedRequest]:
        """What was asked there."""
        return [
            call.request
            for call in self.mock.calls
            if call.request.method == method and str(call.request.url).partition("?")[0] == url
        ]


class Asked:
    """A provider, asked one thing after another."""

    def __init__(self, runner: asyncio.Runner, provider: OpenStack, held: Path) -> None:
        self.runner = runner
        self.provider = provider
        self.held = held

    def call(self, asked: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(asked)

    def refused(self, asked: Callable[[], Coroutine[Any, Any, object]]) -> ComputingError:
        try:
            got = self.call(asked())
        except ComputingError as error:
            assert SECRET not in str(error)
            return error
        raise AssertionError(f"expected an error, got {got}")


@contextmanager
def asked(folder: Path, url: str = KEYSTONE, region: str = "") -> Iterator[Asked]:
    held = folder / "credential"
    held.write_text(json.dumps({"id": "the-id", "secret": SECRET}))
    cloud = Cloud("small", "plain", url=url, region=region, networks=("pilots",))
    with asyncio.Runner() as runner:
        provider = OpenStack(cloud, OURS, held)
        try:
            yield Asked(runner, provider, held)
        finally:
            runner.run(provider.close())
