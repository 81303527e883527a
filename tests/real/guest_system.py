"""A whole Pilotage whose director starts guests of this host: real systems, real cloud-init, real pilots."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from central.clouds.guests.nspawn import make_nspawn
from central.clouds.guests.qemu import make_qemu
from central.clouds.making import mark
from central.clouds.port import CloudProvider, Machine
from central.configuration.elements import Cloud
from pilot.states import LIVE_PILOT
from pilot.views import PilotView
from pilotage import Client
from tests.real.guest_scene import IMAGE, lay_out
from tests.system import Plan, System, wait_for

T = TypeVar("T")
MAKE: dict[str, Callable[[Cloud, str, Path], CloudProvider]] = {"nspawn": make_nspawn, "qemu": make_qemu}
#: The host of guests, for kinds whose guests know it by an address of their own.
HOST = {"qemu": "10.0.2.2"}
QUEUE = """\
slot_users = "20000-20063"
{more}
[queues.cloud]
flavor = "large"
image = "{image}"
folder = "{folder}"
{cloud}
"""


@dataclass(frozen=True)
class Guesthouse:
    """A system, and what its host knows of its guests."""

    system: System
    folder: Path
    provider: Callable[[], CloudProvider]

    def machines(self) -> Sequence[Machine]:
        """What is there now, asked by somebody who knows nothing."""
        return self._ask(lambda provider: provider.machines())

    def console(self, id: str) -> str:
        return self._ask(lambda provider: provider.console(id)).decode(errors="replace")

    def delete_all(self) -> None:
        for machine in self.machines():
            print(machine, self.console(machine.id)[-6000:])
            self._ask(partial(_deleted, machine.id))

    def _ask(self, ask: Callable[[CloudProvider], Coroutine[Any, Any, T]]) -> T:
        async def asked() -> T:
            provider = self.provider()
            try:
                return await ask(provider)
            finally:
                await provider.close()

        return asyncio.run(asked())

    def all_gone(self, client: Client, patience: float = 60) -> list[PilotView]:
        """Wait until no machine is left, at the provider and in the journal, and return the pilots that there were."""
        wait_for(lambda: not self.machines(), patience, "all machines to be gone", self.told)
        wait_for(lambda: not [one for one in client.pilots() if one.state in LIVE_PILOT], patience, "no pilot to live")
        return list(client.pilots())

    def told(self) -> str:
        """For whoever waits in vain."""
        consoles = [self.console(machine.id)[-3000:] for machine in self.machines()]
        return "\n".join([str(self.machines()), *consoles, self.system.log()])


async def _deleted(id: str, provider: CloudProvider) -> None:
    await provider.delete(id)


@contextmanager
def guesthouse(
    folder: Path,
    kind: str = "nspawn",
    more: str = "",
    cloud: str = "",
    plan: Plan | None = None,
    reached_at: str = "",
) -> Iterator[Guesthouse]:
    """A system with one queue of guests, none of which is left afterwards. `more`, `cloud`: further settings of the
    queue, and of its cloud; `reached_at`: the address by which guests reach this host, unless it is the usual one."""
    guests = folder / "guests"
    lay_out(guests)
    queue = QUEUE.format(image=IMAGE, folder=guests, more=more, cloud=cloud)
    plan = replace(
        plan or Plan(idle="10 s", silent_after="60 s"),
        kind=kind,
        wall_time="2 h",
        memory="1 GB",
        disk="1 GB",
        queue=queue,
    )
    system = System(folder / "central", plan)
    if address := reached_at or HOST.get(kind):
        plan.url = f"https://{address}:{system.port}"
    system.make()
    try:
        system.start()

        def provider() -> CloudProvider:
            described = Cloud(flavor="large", image=IMAGE, folder=str(guests))
            return MAKE[kind](described, mark(plan.url or system.url), guests)

        house = Guesthouse(system, guests, provider)
        try:
            yield house
        finally:
            system.stop()
            house.delete_all()
    finally:
        system.end()
