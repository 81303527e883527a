"""From what was found to what is offered: the capacity that slots are cut from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Optional, cast

from commands.context import Capacity, Context, Unfit
from commands.devices import devices
from commands.registry import command
from commands.splitting import share
from pilot import imagename
from pilot.protocol import UNLIMITED, Amount, Fact, Platform, Settings

_TAG = "tag:"
_EXPOSED = "imds_exposed"
_VERSION = re.compile(r"(\d+)\.(\d+)")


@command(needs=["node", "software"], provides=["slots"], timeout=60)
def configure(context: Context) -> Context:
    """Open the slots. Raises `Unfit` where payloads must not reach the metadata service, and might."""
    if context.shielded and context.fact(_EXPOSED) is not False:
        why = _source(context.facts, _EXPOSED)
        raise Unfit(f"payloads must be proved not to reach the cloud's metadata service, and are not: {why}")
    passed = context.clock.now() - context.looked_at if context.looked_at is not None else 0.0
    capacity = decide(context.facts, context.settings, context.communities, context.required_tags, passed)
    capacity = share(capacity, context.agent, context.agents)
    context.computing.open(capacity, context.environment)
    context.say(f"{capacity.cores} cores for jobs" + (f", bound to CPUs {capacity.cpus}" if capacity.cpus else ""))
    return context


def decide(
    facts: Sequence[Fact],
    settings: Settings,
    communities: Sequence[str],
    required_tags: Sequence[str],
    passed: float = 0.0,
) -> Capacity:
    """What attempts may use in all. Raises `Unfit` where not one core is known. `passed`: seconds since the facts."""
    values = {fact.name: fact.value for fact in facts}
    cores = values.get("cores")
    if not isinstance(cores, int) or cores < 1:
        raise Unfit(f"no core to run jobs on: {_source(facts, 'cores')}")
    disk = _amount(values.get("disk"))
    return Capacity(
        cores=cores,
        cpus=_cpus(values.get("cpus")),
        memory=_amount(values.get("memory")),
        disk=max(0, disk - settings.min_disk) if isinstance(disk, int) else disk,
        gpus=devices(facts),
        seconds_left=_lifetime(_amount(values.get("seconds_left")), settings, passed),
        platform=_platform(values.get("arch"), values.get("microarch"), values.get("glibc"), values.get("os")),
        tags=_tags(facts, settings),
        unknown_tags=tuple(
            sorted(fact.name[len(_TAG) :] for fact in facts if fact.name.startswith(_TAG) and fact.value is None)
        ),
        required_tags=tuple(required_tags),
        communities=tuple(communities),
        exposed=values.get(_EXPOSED, False) is not False,  # where that could not be tried, isolation is not proved
    )


def _tags(facts: Sequence[Fact], settings: Settings) -> tuple[str, ...]:
    """What was proved, as far as the queue lets jobs make use of it. Raises `Unfit` where it asks for containers."""
    tags = {fact.name[len(_TAG) :] for fact in facts if fact.name.startswith(_TAG) and fact.value}
    if settings.containers == "required" and imagename.RUNS not in tags:
        why = _source(facts, _TAG + imagename.RUNS)
        raise Unfit(f"payloads are to run in containers, and none can be run here: {why}")
    if settings.containers == "refused" or not settings.job_images:
        tags -= {imagename.RUNS, imagename.OPENS_FILES}
    return tuple(sorted(tags))


def _amount(value: object) -> Amount:
    if isinstance(value, float):
        return int(value)
    return cast("Amount", value) if isinstance(value, int) or value == UNLIMITED else None


def _lifetime(found: Amount, settings: Settings, passed: float) -> Amount:
    """Seconds for payloads: the queue's, or what the central grants if that is less; the margin is taken off once."""
    limits = [amount for amount in (found, settings.end_of_life) if isinstance(amount, int)]
    if found is None:
        return None  # that the central sets no end does not mean that the queue sets none
    if not limits:
        return UNLIMITED
    return max(0, int(min(limits) - settings.margin - passed))


def _platform(arch: object, level: object, glibc: object, system: object) -> Platform:
    version = _VERSION.match(glibc) if isinstance(glibc, str) else None
    return Platform(
        arch=arch if isinstance(arch, str) else None,
        microarch=level if isinstance(level, int) else None,
        glibc=(int(version[1]), int(version[2])) if version else None,
        os=system if isinstance(system, str) else None,
    )


def _cpus(value: object) -> tuple[int, ...]:
    """The fact `cpus`, as ``0-3,8``."""
    numbers: list[int] = []
    for part in str(value or "").split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            numbers.extend(range(int(first), int(last or first) + 1))
    return tuple(numbers)


def _source(facts: Sequence[Fact], name: str) -> Optional[str]:
    return next((fact.source for fact in facts if fact.name == name), "nobody looked")
