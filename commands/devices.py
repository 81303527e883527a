"""GPUs in the facts of a node: ``gpus`` says how many, ``gpu0_model``, ``gpu0_uuid`` and so on what each one is."""

from __future__ import annotations

from collections.abc import Sequence

from commands.context import GpuDevice
from pilot.protocol import Fact

#: More GPUs than any machine has.
MOST = 1024


def devices(facts: Sequence[Fact]) -> tuple[GpuDevice, ...]:
    """The GPUs that attempts may use. One without a model or a number is none."""
    values = {fact.name: fact.value for fact in facts}
    count = values.get("gpus")
    found: list[GpuDevice] = []
    for number in range(min(count, MOST) if isinstance(count, int) else 0):
        about = {name: values.get(f"gpu{number}_{name}") for name in ("index", "uuid", "model", "memory", "capability")}
        index, model = about["index"], about["model"]
        if not isinstance(index, int) or not isinstance(model, str):
            continue
        uuid, memory, capability = about["uuid"], about["memory"], about["capability"]
        found.append(
            GpuDevice(
                index,
                uuid if isinstance(uuid, str) else None,
                model,
                memory if isinstance(memory, int) else None,
                capability if isinstance(capability, str) else None,
            )
        )
    return tuple(found)
