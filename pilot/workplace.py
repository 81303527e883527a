"""Puts together what a pipeline works with: this machine, the Pool over the process element, and the context."""

from __future__ import annotations

import os
import pwd
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Callable, Optional

from commands.context import Central, Context, Sandboxes
from pilot import bootstrap, pipeline, policy
from pilot.attempts.attempt import Services
from pilot.attempts.containers import Containers, nameless
from pilot.attempts.containment import Containment, contain, control_groups, group_name
from pilot.attempts.pool import Pool
from pilot.attempts.timesheet import Timesheet
from pilot.attempts.watchdog import Watchdog
from pilot.bundles import Manifest
from pilot.config import OPEN, REFUSE, Config
from pilot.destinations.cache import InputCache
from pilot.destinations.port import Rejected
from pilot.destinations.storages import Signer, Storages
from pilot.errors import PilotageError
from pilot.monitor.agent_process import ourselves
from pilot.node import Declared, Discovery, power
from pilot.node.machine import this_machine
from pilot.node.power import Power
from pilot.payloads import sharing
from pilot.payloads.families import Families
from pilot.payloads.process import ProcessElement
from pilot.policing import heeded
from pilot.protocol import Bundle, Fact, Settings
from pilot.singularity.element import ContainerElement
from pilot.singularity.images import ImageCache
from pilot.singularity.probe import here
from pilot.singularity.runtime import Runtime
from pilot.states import PilotReason
from pilot.steps.fetching import Source, fetch
from pilot.steps.guest import Interrupted
from pilot.steps.guests import Guests
from pilot.steps.output import STEPS, StepLogs

#: Tries what payloads must not reach.
Guarding = Callable[[], Sequence[Fact]]
#: Seconds for which a bundle is asked for.
BUNDLE_PATIENCE = 300.0
#: Bytes of inputs that are kept for the next jobs.
INPUT_CACHE = 20_000_000_000


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
    timesheet: Optional[Timesheet] = None,
) -> tuple[Context, Pool, Guests]:
    """The context for the first command, the Pool, which takes orders, and what starts commands that are not ours.

    `started` is of the monotonic clock.
    """
    families = Families()
    element = ProcessElement(families, lru_cache(maxsize=1)(sharing.best))
    watchdog = Watchdog(element.tend, lambda: pool.progress(), say)
    word = policy.heed(config.policy)
    word = word if config.central else word.alone()
    held = contain(config.slot_users, config.work, lambda: control_groups(group_name(config.stamp, agent)), say)
    why_not = nameless(held.users, pwd.getpwuid)
    contained = settings.containers != "refused" and not why_not
    node = look_around(config, started, _guard(config, held, contained, say))
    services = Services(
        central, sandboxes, element, watchdog, dict(os.environ), random.random, say, config.keep_work, word, held
    )
    images = ImageCache(Path(settings.image_cache or config.work / "images"), settings.image_cache_size)
    inside = ContainerElement(element, services.host)
    containers = Containers(settings, word, here, inside, images, sandboxes, random.random, why_not, config.cache)
    services = replace(
        services,
        containers=containers,
        timesheet=timesheet or Timesheet(),
        storages=Storages(services.host, partial(signer, config)),
        inputs=InputCache((config.cache or config.work) / "inputs", INPUT_CACHE),
        followed=bool(config.central) and config.session.exists(),
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
        halting=config.halting,
        shielded=config.metadata == REFUSE,
        agent=agent,
        agents=config.agents,
    )
    ready = context.evolve(reason=PilotReason.UNFIT, message=held.problem) if held.problem else heeded(context, word)
    return ready, pool, _guests(config, families, held, central, pool)


def signer(config: Config) -> Signer:
    """Who signs requests to S3 storages for the attempts of this pilot. Raises `Rejected` without a central."""
    if not config.central:
        raise Rejected("requests to s3:// are signed by a central, and there is none here")
    from pilot.destinations.signing import SignedByCentral  # heavy, and few pilots need it
    from pilot.transport import Https

    return SignedByCentral(config.central, Https(config.ca))


def _guests(config: Config, families: Families, held: Containment, central: Central, pool: Pool) -> Guests:
    """How commands of bundles get here, and as whom they run."""

    def pause(seconds: float) -> bool:
        central.tick()
        time.sleep(seconds)
        return time.monotonic() > until or pool.stopping() is not None

    def fetched(bundle: Bundle) -> tuple[Path, Manifest]:
        from pilot.transport import Https  # heavy, and few pilots have bundles

        source = Source(config.central, Https(config.ca), central.tick)
        return fetch(bundle, source, config.work / "bundles", pause, random.random)

    until = time.monotonic() + BUNDLE_PATIENCE
    words, environment = ourselves(bootstrap.own_archive())
    more = {name: environment[name] for name in ("PYTHONPATH",) if name in environment}
    return Guests(families, held.users, words, dict(os.environ), fetched, more, held.enclosures)


def _guard(config: Config, held: Containment, containers: bool, say: Callable[[str], None]) -> Optional[Guarding]:
    """Payloads are cut off from the metadata service of their cloud now, where they are other users than we; what is
    returned tells whether they are, also in containers where they may have some. None: nobody wants that here."""
    if config.metadata == OPEN:
        return None
    from pilot.imds import ahead, contained, cut, guard, payload  # only on virtual machines

    problem = cut.cut_off([user.uid for user in held.users.free], cut.run_as_root) if held.users else cut.SAME_USER
    if problem:
        say(problem)

    def inside() -> Optional[guard.Run]:
        found = here() if containers else None
        return partial(contained.as_payload_in, found) if isinstance(found, Runtime) else None

    def begun() -> Optional[guard.Tried]:
        return ahead.awaited(config.work) if config.central else None  # without a central there is no monitor

    return guard.Guard(held.users, problem, payload.as_payload, inside, begun).facts


def look_around(config: Config, started: float, guard: Optional[Guarding] = None) -> Discovery:
    """The probes of this machine. Its power is worth measuring for a central that sends many jobs, not for one job."""
    machine = this_machine()
    declared = Declared(config.cores, config.memory, config.disk, config.wall_time, config.tags, config.reach)
    benchmark = Power(power.node(machine), config.cache, power.run_benchmark) if config.central else None
    return Discovery(machine, config.work, declared, started, benchmark=benchmark, guard=guard)


def run_pipeline(context: Context, guests: Guests, started: float, life: int = 1) -> Context:
    """Run the commands that the settings name. A pipeline that cannot be run ends the pilot before it has begun.

    `started`: when the pilot began, by the context's clock. `life`: of its monitors, which this is.
    """
    if context.reason is not None:
        context.say(context.message)
        return context
    central, settings = context.central, context.settings
    first = STEPS * (context.agents * (life - 1) + context.agent - 1)
    logs = StepLogs(context.work / "steps", first, settings.log_bound, central.stream, central.close_stream)
    around = pipeline.Surroundings(guests, logs, started)
    try:
        steps = pipeline.assembled(context, around)
    except PilotageError as error:
        context.say(str(error))
        reason = error.reason if isinstance(error, Interrupted) else PilotReason.COMMAND_FAILED
        return context.evolve(reason=reason, message=str(error))
    context = context.evolve(options={step.command: step.options for step in settings.pipeline if step.options})
    return pipeline.run(steps, context, around)
