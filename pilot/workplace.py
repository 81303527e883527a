"""Puts together what a pipeline works with: this machine, the Pool over the process element, and the context."""

from __future__ import annotations

import os
import pwd
import random
import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Callable

from commands.context import Central, Context, Sandboxes
from commands.registry import assemble
from pilot import pipeline, policy
from pilot.attempts.attempt import Services
from pilot.attempts.containers import Containers, nameless
from pilot.attempts.containment import contain, control_groups, group_name
from pilot.attempts.pool import Pool
from pilot.attempts.watchdog import Watchdog
from pilot.config import Config
from pilot.errors import PilotageError
from pilot.node import Declared, Discovery, power
from pilot.node.machine import this_machine
from pilot.node.power import Power
from pilot.payloads import sharing
from pilot.payloads.families import Families
from pilot.payloads.process import ProcessElement
from pilot.policing import heeded
from pilot.protocol import Settings
from pilot.singularity.element import ContainerElement
from pilot.singularity.images import ImageCache
from pilot.singularity.probe import here
from pilot.states import PilotReason


class SteadyClock:
    """The real `commands.context.Clock`."""

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def furnish(
    config: Config,
    settings: Settings,
    central: Central,
    sandboxes: Sandboxes,
    started: float,
    say: Callable[[str], None],
    agent: int = 1,
) -> tuple[Context, Pool]:
    """The context for the first command, and the Pool, which takes orders. `started` is of the monotonic clock."""
    node = look_around(config, started)
    element = ProcessElement(Families(), lru_cache(maxsize=1)(sharing.best))
    watchdog = Watchdog(element.tend, lambda: pool.progress(), say)
    word = policy.heed(config.policy)
    if not config.central:
        word = word.alone()
    held = contain(config.slot_users, lambda: control_groups(group_name(config.stamp, agent)), say)
    services = Services(
        central, sandboxes, element, watchdog, dict(os.environ), random.random, say, config.keep_work, word, held
    )
    images = ImageCache(Path(settings.image_cache or config.work / "images"), settings.image_cache_size)
    inside = ContainerElement(element, services.host)
    why_not = nameless(held.users, pwd.getpwuid)
    containers = Containers(settings, word, here, inside, images, sandboxes, random.random, why_not)
    services = replace(services, containers=containers)
    pool = Pool(config.site, config.queue, config.work, settings, node, services)
    watchdog.start()
    context = Context(
        stamp=config.stamp,
        site=config.site,
        queue=config.queue,
        work=config.work,
        settings=settings,
        clock=SteadyClock(),
        random=random.random,
        node=node,
        central=central,
        computing=pool,
        say=say,
        communities=settings.communities or config.communities,
        required_tags=config.required_tags,
        agent=agent,
        agents=config.agents,
    )
    if held.problem:
        return context.evolve(reason=PilotReason.UNFIT, message=held.problem), pool
    return heeded(context, word), pool


def look_around(config: Config, started: float) -> Discovery:
    """The probes of this machine. Its power is worth measuring for a central that sends many jobs, not for one job."""
    machine = this_machine()
    declared = Declared(config.cores, config.memory, config.disk, config.wall_time, config.tags, config.reach)
    benchmark = Power(power.node(machine), config.cache, power.run_benchmark) if config.central else None
    return Discovery(machine, config.work, declared, started, benchmark=benchmark)


def run_pipeline(context: Context) -> Context:
    """Run the commands that the settings name. A pipeline that cannot be run ends the pilot before it has begun."""
    if context.reason is not None:
        context.say(context.message)
        return context
    try:
        steps = assemble([step.command for step in context.settings.pipeline])
    except PilotageError as error:
        context.say(str(error))
        return context.evolve(reason=PilotReason.COMMAND_FAILED, message=str(error))
    return pipeline.run(steps, context)
