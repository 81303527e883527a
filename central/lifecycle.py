"""Starting the parts of a central in order, and ending them so that nothing answered is lost."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from central import aftermath
from central.app import Central
from central.directors import unsent
from central.directors.assembly import DUTY, Directors
from central.duties import PAUSE, STEP, Cycle, Duties, DutyDied, Times
from central.keeping import log_retention
from central.records import Swept
from central.serving.rates import TOLD
from central.several.overheard import Overheard
from central.trust import chain, vault
from central.trust.chain import AnchorFile, Chain, Seals
from central.trust.foreign import check_ring
from pilot.errors import PilotageError

log = logging.getLogger(__name__)

#: Tells this run of this machine's kernel from all others.
_BOOT = Path("/proc/sys/kernel/random/boot_id")
#: Seconds within which pilots that could not reach the central try again; where leases are short, a tenth of one.
CALL_BACK = 60.0
#: Seconds between two looks at people, and notes of which API tokens were used; of each is one in an hour at most.
PEOPLE = 60.0
#: Seconds between looks at who reads which log here, to tell other centrals.
ANNOUNCE = 5.0


@asynccontextmanager
async def running(central: Central) -> AsyncIterator[None]:
    """The central, for as long as the block lasts."""
    await central.store.open()
    try:
        await check_ring(central.store, central.ring)
        if not central.gossip.alone:
            await _listen(central)
        await central.orders.start()
        await central.sandboxes.start()
        await central.store.set_limits(central.settings.limits)
        await central.dispatcher.start()
        await central.dispatcher.refresh_use()
        work = await duties(central)
        await central.look_at_places()
        await central.look_at_people()
        await central.bundles.look()
        central.background(_work(central, work))
        central.background(_follow_people(central))
        central.background(central.audit.follow())
        yield
    finally:
        central.closing.set()
        await _end(central.tasks)
        await central.refreshing.close()
        await central.presence.flush(central.store)
        await _last_words(central)
        await _write_use(central)
        await central.store.close()


async def _listen(central: Central) -> None:
    """Hear other centrals, from before anything is read, and tell them what happens here."""
    if central.time:
        await central.time.measure(central.store)
        central.background(_must(central, central.time.follow(central.store)))
    overheard = Overheard(central)
    await central.store.listen(overheard.hear)
    for work in (
        overheard.refresh(),
        overheard.orders(),
        overheard.places(),
        overheard.people(),
        central.gossip.run(),
        _announce(central),
        _tell_rates(central),
    ):
        central.background(_must(central, work))
    central.background(central.metrics.show(central.clock))


async def _must(central: Central, work: Coroutine[Any, Any, None]) -> None:
    """Do something without which a central among others goes wrong: when it fails, the central stops."""
    try:
        await work
    except Exception:  # a fault of ours: whoever keeps the central starts another
        log.critical("A part of the central that must run has failed", exc_info=True)
        central.failed.set()


async def _follow_people(central: Central) -> None:
    """Write down now and then when API tokens were used, and look at who may work here, should a look have failed."""
    while True:
        await central.clock.sleep(PEOPLE)
        await _write_use(central)
        try:
            await central.look_at_people()
        except (PilotageError, OSError) as error:
            log.warning("Who may work here could not be read; it is tried again: %s", error)


async def _write_use(central: Central) -> None:
    if used := central.people.take_used():
        try:
            await central.store.used_tokens(used)
        except (PilotageError, OSError) as error:  # it is rough anyway
            log.warning("When API tokens were used was not noted: %s", error)


async def _announce(central: Central) -> None:
    while True:
        await central.clock.sleep(ANNOUNCE)
        central.logs.announce()


async def _tell_rates(central: Central) -> None:
    while True:
        await central.clock.sleep(TOLD)
        central.gossip.say(*central.rates.told())


async def _last_words(central: Central) -> None:
    """What was done last is written down, and known elsewhere, before this central is gone."""
    try:
        await asyncio.wait_for(central.audit.flush(), 2.0)
    except (TimeoutError, PilotageError, OSError) as error:
        log.warning("What was refused last is not in the audit: %s", error)
    try:
        await asyncio.wait_for(central.gossip.flush(), 2.0)
    except (TimeoutError, PilotageError, OSError) as error:
        log.warning("Other centrals were not told the last of it: %s", error)


async def duties(central: Central) -> Duties:
    """The background work of this central. Raises `PilotageError` when a director cannot begin."""
    service = central.settings.service
    directors = Directors(central)
    await directors.begin()

    def swept(found: Swept) -> None:
        aftermath.swept(central, found)

    return Duties(
        central.store,
        central.presence,
        central.dispatcher,
        central.clock,
        duty=DUTY,
        holder=holder(central.folder.path, central.worker),
        times=Times(
            beat=service.beat,
            call_back=min(CALL_BACK, service.lease / 10),
            silent_after=service.silent_after,
            sweep=min(5.0, service.beat),
            keep=service.keep_jobs if isinstance(service.keep_jobs, int) else None,
        ),
        cycles=(_vault(central), unsent.cycle(central), *_old_logs(central), *_audit(central), *_people(central)),
        changing=directors.cycles,
        swept=swept,
    )


def _old_logs(central: Central) -> tuple[Cycle, ...]:
    """The duty to let go of old logs, where they are not kept for ever."""
    keep = central.settings.service.keep_logs
    if not isinstance(keep, int):
        return ()

    async def let_go(epoch: int) -> None:
        removed = await log_retention.let_go(central.logs, central.objects, float(keep), central.wall())
        if removed:
            log.info("%d logs were kept long enough and are gone", removed)

    return (Cycle("old logs", min(log_retention.INTERVAL, keep / 4), let_go),)


def _audit(central: Central) -> tuple[Cycle, ...]:
    """The duties to link what is new in the audit, and to let go of what was kept long enough."""
    made = Chain(
        central.store,
        Seals.of(central.ring),
        AnchorFile(central.folder.audit_anchor),
        central.clock,
        central.metrics.chained,
    )
    link = Cycle("the audit", chain.INTERVAL, made.turn)
    keep = central.settings.service.keep_audit
    if not isinstance(keep, int):
        return (link,)

    async def let_go(epoch: int) -> None:
        if gone := await made.retire(float(keep)):
            log.info("%d lines of the audit were kept long enough and are gone", gone)

    return (link, Cycle("old lines of the audit", max(chain.LEAST_INTERVAL, keep / chain.LOOKS), let_go))


def _people(central: Central) -> tuple[Cycle, ...]:
    """The duty to let go of tokens and memberships that ended long ago, where they are not kept for ever."""
    keep = central.settings.service.keep_people
    if not isinstance(keep, int):
        return ()

    async def let_go(epoch: int) -> None:
        before = await central.store.now() - keep
        gone = 0
        while number := await central.store.retire_people(before, STEP):
            gone += number
            await central.clock.sleep(PAUSE)
        if gone:
            log.info("%d tokens and memberships that ended long ago are gone", gone)

    return (Cycle("people who were here", min(log_retention.INTERVAL, keep / 4), let_go),)


def _vault(central: Central) -> Cycle:
    """The duty by which secrets come under the newest key long before an old one leaves the ring."""
    lost: set[bytes] = set()

    async def reseal(epoch: int) -> None:
        if done := await vault.reseal_old(central.store, central.vault, lost):
            log.info("%d credentials are under the newest key now", done)

    return Cycle("the vault", vault.INTERVAL, reseal)


def holder(folder: Path, worker: int) -> str:
    """A name that no other central has at the same time, and that is the same when this one is started again.

    The folder's lock is held by one central. It is the kernel's, as are the folder's numbers: together with the run of
    the kernel they are like nobody else's, also where machines or containers have one name.
    """
    place = folder.resolve()
    found = place.stat()
    boot = _BOOT.read_text().strip() if _BOOT.exists() else ""
    return f"{socket.gethostname()}:{place}:{boot[:13]}:{found.st_dev:x}:{found.st_ino:x}:{worker}"


async def _work(central: Central, duties: Duties) -> None:
    try:
        await duties.run(central.closing)
    except DutyDied:
        central.failed.set()


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel what runs in the background and wait for it."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)
