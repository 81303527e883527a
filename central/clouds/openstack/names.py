"""What queues call by name or id, as the cloud's ids: looked up when it is needed, and kept for a while."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from central.clouds.checking import named
from central.clouds.openstack.client import Client
from central.clouds.openstack.servers import Found
from central.clouds.port import Flavor, Intent, Named

#: Seconds for which what was looked up is taken to be so.
KEPT = 300.0
#: Nova's microversions from this on have the name of a server's flavor, what a flavor has beside cores and memory, and
#: tell of servers in parts of the cloud that do not answer (Stein, 2019).
TELLING = (2, 69)
MIB, GIB = 1024**2, 1024**3
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Names:
    """Of one cloud; used by all threads of its adapter. `clock` is monotonic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._kept: dict[object, tuple[float, Any]] = {}

    def found(self, client: Client, intent: Intent) -> Found:
        """The ids of what an intent names. Raises `ComputingError` (REFUSED) where there is none, or several."""
        flavors = [Named(one.id, one.name) for one in self.flavors(client)]
        return Found(
            flavor=named("flavor", flavors, intent.flavor).id,
            image=self._image(client, intent.image),
            networks=tuple(self._network(client, wanted) for wanted in intent.networks),
        )

    def _image(self, client: Client, wanted: str) -> str:
        if _UUID.fullmatch(wanted):
            return wanted  # Nova knows best whether there is one
        found: str = self._of(("image", wanted), lambda: named("image", images(client, wanted), wanted).id)
        return found

    def _network(self, client: Client, wanted: str) -> str:
        if _UUID.fullmatch(wanted):
            return wanted
        return named("network", self._of("networks", lambda: networks(client)), wanted).id

    def flavors(self, client: Client) -> Sequence[Flavor]:
        def looked_up() -> Sequence[Flavor]:
            told = client.pages("compute", "/flavors/detail", "flavors", version=self.version(client))
            return tuple(map(_flavor, told))

        found: Sequence[Flavor] = self._of("flavors", looked_up)
        return found

    def flavor_names(self, client: Client) -> Mapping[str, str]:
        """By id: needed only of a Nova that does not tell them with each server."""
        return {} if self.version(client) else {one.id: one.name for one in self.flavors(client)}

    def version(self, client: Client) -> str:
        """The microversion to ask Nova in; empty: its first one."""

        def looked_up() -> str:
            told = client.get("compute", "/")["version"].get("version", "")
            highest = tuple(map(int, re.findall(r"\d+", told)))
            return ".".join(map(str, TELLING)) if highest >= TELLING else ""

        found: str = self._of("version", looked_up)
        return found

    def forget(self) -> None:
        """The cloud refused something: perhaps what we know of it is old."""
        with self._lock:
            self._kept.clear()

    def _of(self, key: object, look_up: Callable[[], Any]) -> Any:
        with self._lock:
            until, value = self._kept.get(key, (0.0, None))
        if self.clock() < until:
            return value
        value = look_up()
        with self._lock:
            self._kept[key] = (self.clock() + KEPT, value)
        return value


def images(client: Client, wanted: str = "") -> Sequence[Named]:
    """Those that machines can be started from; all of them, or those with this name."""
    chosen = {"name": wanted} if wanted else {}
    return list(map(_named, client.pages("image", "/v2/images", "images", {"status": "active", **chosen})))


def networks(client: Client) -> Sequence[Named]:
    """Those that a machine can be put into: not those that only routers lead to."""
    told = client.pages("network", "/v2.0/networks", "networks")
    return [_named(one) for one in told if one.get("shared") or not one.get("router:external")]


def _named(told: Mapping[str, Any]) -> Named:
    return Named(str(told["id"]), str(told.get("name") or ""))


def _flavor(told: Mapping[str, Any]) -> Flavor:
    gpus = str(told.get("extra_specs", {}).get("resources:VGPU", ""))
    return Flavor(
        id=str(told["id"]),
        name=str(told["name"]),
        cores=int(told["vcpus"]),
        memory=int(told["ram"]) * MIB,
        disk=int(told["disk"]) * GIB,
        gpus=int(gpus) if gpus.isdigit() else None,
    )
