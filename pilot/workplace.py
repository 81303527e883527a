"""Puts together what a pipeline works with: this machine, the Pool over the process element, and the context."""

from __future__ import annotations

import os
import random
import time
from functools import lru_cache
from typing import Callable

from commands.context import Central, Context, Sandboxes
from commands.registry import assemble
from pilot import pipeline, sharing
from pilot.attempt import Services
from pilot.config import Config
from pilot.errors import PilotageError
from pilot.families import Families
from pilot.node import Declared, Discovery
from pilot.node.machine import this_machine
from pilot.pool import Pool
from pilot.process import ProcessElement
from pilot.protocol import Settings
from pilot.states import PilotReason
from pilot.watchdog import Watchdog


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
) -> tuple[Context, Pool]:
    """The context for the first command, and the Pool, which takes orders. `started` is of the monotonic clock."""
    declared = Declared(config.cores, config.memory, config.disk, config.wall_time, config.tags)
    node = Discovery(this_machine(), config.work, declared, started)
    element = ProcessElement(Families(), lru_cache(maxsize=1)(sharing.best))
    watchdog = Watchdog(element.tend, lambda: pool.progress(), say)
    services = Services(
        central, sandboxes, element, watchdog, dict(os.environ), random.random, say, keep_work=config.keep_work
    )
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
    )
    return context, pool


def run_pipeline(context: Context) -> Context:
    """Run the commands that the settings name. A pipeline that cannot be run ends the pilot before it has begun."""
    try:
        steps = assemble(context.settings.pipeline)
    except PilotageError as error:
        context.say(str(error))
        return context.evolve(reason=PilotReason.COMMAND_FAILED, message=str(error))
    return pipeline.run(steps, context)
