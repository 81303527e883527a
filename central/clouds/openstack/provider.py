"""OpenStack as a cloud of machines, with an application credential.

Nova has no tokens that make a creation happen once: before a machine is started it is looked for by its name, and one
that is there is the answer. Until a machine is gone Nova lists it, whatever its state.

Driven for real: Keystone 22, Nova 26.2, Glance 25, Neutron 21 (the release Zed, as in Debian 12), with Nova's fake
hypervisor and with guests of QEMU that boot; with answers that were lost, and a Nova that does not answer, behind a
relay. Against a server of tests: errors that a Nova in order does not give, TLS with an authority of its own, lists in
pages, a cell that does not answer, a Nova from before microversions. Not driven: floating addresses (a machine needs
none, it calls its central), machines on volumes, user-data that only the metadata service has, VGPUs, other releases.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from central.clouds.openstack import names, servers
from central.clouds.openstack.client import Client
from central.clouds.openstack.connection import Tokens
from central.clouds.openstack.errors import Answered
from central.clouds.openstack.names import MIB, Names
from central.clouds.port import Flavor, Intent, Machine, Named, Price, Quota, Room
from central.clouds.threads import Threads
from central.clouds.understood import understood
from central.configuration.elements import Cloud
from central.elements.port import ComputingError, Trouble
from wrappers.user_data.clouds import CLOUDS
from wrappers.user_data.clouds import Cloud as Takes

T = TypeVar("T")

#: Seconds that Nova may still need for a creation that we have stopped waiting for.
LATE = 60.0
#: Bytes of a console that are handed out.
CONSOLE = 1_000_000
#: What an answer means that Nova gives where a server has no console, or none yet.
_NO_CONSOLE = (404, 409, 501)
#: What the account may have and has, in Nova's `limits` and in its quota set, with the unit of what it counts.
_ROOMS = (("Instances", "instances", 1), ("Cores", "cores", 1), ("RAM", "ram", MIB))


class OpenStack:
    """The machines of one installation in one project. `clock` is monotonic."""

    def __init__(self, cloud: Cloud, central: str, held: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.cloud = cloud
        self.central = central
        self.clock = clock
        self._names = Names(clock)
        make = partial(Client, cloud, held, Tokens())
        self._threads: Threads[Client] = Threads(make, Client.let_go, f"OpenStack at {cloud.url}")

    @property
    def takes(self) -> Takes:
        return CLOUDS["openstack"]

    @property
    def lag(self) -> float:
        return self.cloud.patience + LATE

    async def validate(self) -> None:
        await self._call(lambda client: client.get("compute", "/limits"))

    async def images(self) -> Sequence[Named]:
        return await self._call(names.images)

    async def flavors(self) -> Sequence[Flavor]:
        return await self._call(self._names.flavors)

    async def networks(self) -> Sequence[Named]:
        return await self._call(names.networks)

    async def quota(self) -> Quota:
        return await self._call(_quota)

    async def create(self, intent: Intent) -> str:
        if intent.spot:
            raise ComputingError("OpenStack has no spot machines: `spot` is for other clouds", Trouble.REFUSED)
        return await self._call(partial(self._created, intent=intent, until=self.clock() + self.cloud.patience))

    async def machines(self) -> Sequence[Machine]:
        return await self._call(self._listed)

    async def machine(self, id: str) -> Machine | None:
        return await self._call(partial(self._found, id=id))

    async def delete(self, id: str) -> None:
        await self._call(partial(self._deleted, id=id))

    async def console(self, id: str) -> bytes:
        return await self._call(partial(self._console, id=id))

    async def price(self, flavor: str, spot: bool) -> Price | None:
        """OpenStack knows no prices."""
        return None

    async def close(self) -> None:
        await self._threads.close()

    async def _call(self, ask: Callable[[Client], T]) -> T:
        with understood(f"OpenStack at {self.cloud.url}"):
            return await self._threads.call(ask, self.cloud.patience)

    # --- In a thread ---

    def _created(self, client: Client, intent: Intent, until: float) -> str:
        found = self._names.found(client, intent)
        name = servers.name(self.central, intent.stamp)
        for machine in self._ours(client, {"name": f"^{name}$"}):
            if machine.stamp == intent.stamp:
                return machine.id
        if self.clock() > until:
            # Nobody waits for it any more, and it would come later than `lag` allows for.
            raise ComputingError("there was no time left to ask Nova for the machine", Trouble.UNREACHABLE)
        try:
            made = client.post("compute", "/servers", servers.body(intent, found, self.cloud, self.central))
        except Answered as error:
            if error.trouble is Trouble.REFUSED:
                self._names.forget()
            raise
        return str(made["server"]["id"])

    def _listed(self, client: Client) -> Sequence[Machine]:
        return list(self._ours(client, {}))

    def _ours(self, client: Client, wanted: Mapping[str, str]) -> Iterator[Machine]:
        version, flavors = self._names.version(client), self._names.flavor_names(client)
        for server in client.pages("compute", "/servers/detail", "servers", wanted, version):
            if machine := self._machine(server, flavors):
                yield machine

    def _found(self, client: Client, id: str) -> Machine | None:
        version, flavors = self._names.version(client), self._names.flavor_names(client)
        try:
            told = client.get("compute", f"/servers/{quote(id, safe='')}", version=version)
        except Answered as error:
            if error.status == 404:
                return None
            raise
        return self._machine(told["server"], flavors)

    def _machine(self, server: Mapping[str, Any], flavors: Mapping[str, str]) -> Machine | None:
        if servers.is_partial(server):
            sentence = f"the part of the cloud in which server {server.get('id')} is does not answer: whose it is, and"
            raise ComputingError(f"{sentence} what else runs there, cannot be told", Trouble.UNREACHABLE)
        return servers.machine(server, self.central, flavors)

    def _deleted(self, client: Client, id: str) -> None:
        if not self._found(client, id):
            return
        try:
            client.delete("compute", f"/servers/{quote(id, safe='')}")
        except Answered as error:
            if error.status != 404:
                raise

    def _console(self, client: Client, id: str) -> bytes:
        if not self._found(client, id):
            return b""
        try:
            told = client.post("compute", f"/servers/{quote(id, safe='')}/action", {"os-getConsoleOutput": {}})
        except Answered as error:
            if error.status in _NO_CONSOLE:
                return b""
            raise
        return str(told.get("output") or "").encode("utf-8", "replace")[-CONSOLE:]


def _quota(client: Client) -> Quota:
    """By `limits`, which says what is used as well; where a cloud does not show them, by the quota of the project."""
    try:
        told = client.get("compute", "/limits")["limits"]["absolute"]
    except Answered as error:
        if error.status not in (403, 404):
            raise
        told = client.get("compute", f"/os-quota-sets/{client.project()}/detail")["quota_set"]
        return Quota(*(_room(told[key]["in_use"], told[key]["limit"], unit) for _, key, unit in _ROOMS))
    return Quota(*(_room(told[f"total{key}Used"], told[_most(key)], unit) for key, _, unit in _ROOMS))


def _most(key: str) -> str:
    return "maxTotalRAMSize" if key == "RAM" else f"maxTotal{key}"


def _room(used: int, most: int, unit: int) -> Room:
    """In OpenStack a negative number is no bound."""
    return Room(used * unit, None if most < 0 else most * unit)


def make_openstack(cloud: Cloud, central: str, held: Path) -> OpenStack:
    """The adapter of a queue: `central` is the mark of its machines, `held` the file with its credential."""
    return OpenStack(cloud, central, held)
