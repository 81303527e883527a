"""Whether a cloud has what a queue's settings name: asked before any machine is started."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from central.clouds.port import CloudProvider, Flavor, Named
from central.configuration.elements import Cloud
from central.elements.port import ComputingError, Trouble
from pilot.protocol import Amount
from pilot.units import show_size

#: Names that an error lists at most.
_MOST = 20


def flavor(flavors: Sequence[Flavor], wanted: str) -> Flavor:
    """By name or id. Raises `ComputingError`, which says what there is."""
    found = next((each for each in flavors if wanted in (each.name, each.id)), None)
    if found is None:
        raise _absent("flavor", wanted, [each.name for each in flavors])
    return found


def named(what: str, there: Sequence[Named], wanted: str) -> Named:
    """An image or a network, by name or id. Raises `ComputingError`, also where the name is that of several."""
    found = [each for each in there if each.id == wanted] or [each for each in there if each.name == wanted]
    if not found:
        raise _absent(what, wanted, [each.name or each.id for each in there])
    if len(found) > 1:
        ids = ", ".join(each.id for each in found[:_MOST])
        raise ComputingError(
            f"the cloud has {len(found)} of the name {wanted!r} ({what}): name one by its id, of {ids}", Trouble.REFUSED
        )
    return found[0]


async def check(provider: CloudProvider, cloud: Cloud, cores: int, memory: Amount) -> str:
    """Ask for everything that the settings name, which changes nothing. Returns what was found, in a sentence. Raises
    `ComputingError`."""
    await provider.validate()
    flavors, images, networks, quota = await asyncio.gather(
        provider.flavors(), provider.images(), provider.networks(), provider.quota()
    )
    size = flavor(flavors, cloud.flavor)
    for what, there, wanted in (
        ("image", images, (cloud.image,)),
        ("network", networks, cloud.networks),
    ):
        if there:  # a cloud may tell nothing of what the whole world shares
            for each in wanted:
                named(what, there, each)
    if cores > size.cores or (isinstance(memory, int) and memory > size.memory):
        raise ComputingError(
            f"the queue promises {cores} cores and {_bytes(memory)} of memory, and a machine of the flavor"
            f" {size.name} has {size.cores} and {show_size(size.memory)}",
            Trouble.REFUSED,
        )
    room = quota.machines_of(size)
    told = "no bound is known" if room is None else f"there is room for {room} more in the quota"
    return f"machines of the flavor {size.name} have {size.cores} cores and {show_size(size.memory)}, and {told}"


def _bytes(memory: Amount) -> str:
    return show_size(memory) if isinstance(memory, int) else "any amount"


def _absent(what: str, wanted: str, there: Sequence[str]) -> ComputingError:
    names = ", ".join(sorted(there)[:_MOST]) or "none"
    more = ", …" if len(there) > _MOST else ""
    return ComputingError(
        f"expected {'an' if what[0] in 'aeiou' else 'a'} {what} of the cloud, got {wanted!r}; there are: {names}{more}",
        Trouble.REFUSED,
    )
