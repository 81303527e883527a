"""One central, put together: every part, made from the settings, started and stopped in order."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import secrets
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from central.clock import Clock
from central.configuration.expected import expected
from central.configuration.in_force import QUEUE, Places
from central.configuration.login import Login
from central.configuration.settings import CentralSettings, Queue, is_postgresql
from central.database_time import DatabaseTime
from central.databases import CountedStore, open_database
from central.dispatching.dispatch import Dispatcher
from central.elements.connections import Connections
from central.events import Event, Hub, JobChanged, JobsSubmitted
from central.fleet.orders import OrderDesk
from central.fleet.presence import Presence
from central.fleet.roster import Roster
from central.folder import Folder
from central.job_changes import JobChanges
from central.keeping.inputs import Inputs
from central.keeping.logs import LogStore
from central.keeping.objects import Objects, open_objects
from central.keeping.sandboxes import SandboxStore
from central.looking import Looking
from central.matching.shares import Standings
from central.quotas import Quota, of_bytes, of_waiting
from central.serving.gathered import Neighbours
from central.serving.metrics import Metrics
from central.serving.rates import Rates
from central.several.elsewhere import Elsewhere
from central.several.gossip import Decided, Free, Gossip, JobSeen, JobsSeen, PilotSeen
from central.several.telling import telling
from central.store.port import Store
from central.trust.bundles import BundleStore
from central.trust.callers import Callers, Nonces
from central.trust.delivering import Signings
from central.trust.lately import Lately
from central.trust.noting import Noting
from central.trust.people import People
from central.trust.refreshing import Refreshing, ask_with
from central.trust.seal import KeyRing
from central.trust.vault import Vault
from pilot.errors import PilotageError
from pilot.protocol import Offer

if TYPE_CHECKING:
    from central.login.certificate_logins import CertificateLogins
    from central.login.logins import Logins

log = logging.getLogger(__name__)
#: A pilot keeps the head and the tail of a long stream, with a mark between: somewhat more than its bound.
_LOG_SLACK = 1024 * 1024


@dataclass(frozen=True)
class Outlook:
    """A queue as its director sees it: waiting jobs that its offer would match, and what was decided about them."""

    demand: int
    decision: Decided


@dataclass(frozen=True)
class Central:
    """Everything that a request may need."""

    folder: Folder
    places: Places
    clock: Clock
    wall: Callable[[], float]  # seconds since the epoch, by the database's clock
    store: Store
    presence: Presence
    dispatcher: Dispatcher
    roster: Roster
    orders: OrderDesk
    inputs: Inputs
    objects: Objects
    logs: LogStore
    sandboxes: SandboxStore
    bundles: BundleStore
    ring: KeyRing
    vault: Vault
    waiting: Quota  # of jobs of one user
    stored: Quota  # of bytes
    audit: Noting
    signings: Signings
    lately: Lately  # credentials that were set anew
    refreshing: Refreshing
    callers: Callers
    rates: Rates
    logins: Logins | None  # None: nobody logs in here
    hub: Hub
    job_changes: JobChanges
    gossip: Gossip
    elsewhere: Elsewhere | None  # None: no other central shares the database
    time: DatabaseTime | None  # None: the database's clock is this machine's
    metrics: Metrics
    pilot_files: Mapping[str, Path]  # SHA-256 → the file that pilots are started from
    interface: bytes  # the OpenAPI document
    started: float  # by `clock`
    worker: int = 0  # which of the processes that share the folder; 0: the only one
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    failed: asyncio.Event = field(default_factory=asyncio.Event)  # a part that must run has died
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    certificates: CertificateLogins | None = None  # None: nobody logs in with certificates
    placing: asyncio.Lock = field(default_factory=asyncio.Lock)  # what was read first is taken up first
    looking: Looking = field(default_factory=Looking)  # at people
    connections: Connections = field(default_factory=Connections)  # to hosts of computing elements
    alarms: dict[tuple[str, str], str] = field(default_factory=dict)  # queue, about what → what is or will be wrong
    decisions: dict[str, Decided] = field(default_factory=dict)  # queue → what its director last decided, and why

    @property
    def settings(self) -> CentralSettings:
        """Those in force now: what is taken of them is good for one request, or one turn."""
        return self.places.settings

    @property
    def people(self) -> People:
        """Who may work here now."""
        return self.callers.people

    async def look_at_people(self) -> None:
        """Take up whom admins have let in, and which tokens are good."""
        await self.looking.look(self._take_people)

    async def _take_people(self) -> None:
        members, tokens = await self.store.people()
        self.people.take(self.settings.communities, self.settings.sites, members, tokens)

    async def look_at_places(self) -> None:
        """Take up the communities, groups, sites and queues that were added."""
        async with self.placing:
            before = self.settings
            if not self.places.take(await self.store.places()):
                return
            if self.settings.communities != before.communities:
                self.dispatcher.standings.share(self.settings.communities)
            if (self.settings.communities, self.settings.sites) != (before.communities, before.sites):
                await self.look_at_people()
        self.logs.allow(_bound(self.settings))
        for (kind, name), problem in self.places.problems.items():
            log.warning("The %s %s, which was added, is not used: %s", kind, name, problem)
            if kind == QUEUE and not self.places.declares(kind, name):
                self.decided(name, f"not used: {problem}")
        for (kind, name), problem in self.places.unmet.items():
            log.warning("The %s %s of the settings counts nowhere now: %s", kind, name, problem)

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside the requests; it is cancelled when the central stops. What it fails of is told."""
        task = asyncio.create_task(work, name=getattr(work, "__qualname__", "work"))
        self.tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.metrics.failed.labels(task.get_name()).inc()
            log.error("Work in the background has failed: %s", task.get_name(), exc_info=error)

    def decided(self, queue: str, why: str, told: Decided | None = None) -> None:
        """The director of a queue has decided; `told`: the circumstances. An alarm is told with it."""
        for (of, _), alarm in self.alarms.items():
            if of == queue and alarm and alarm not in why:
                why = f"{why}; {alarm}"
        word = msgspec.structs.replace(told or Decided(queue, why), why=why)
        self.decisions[queue] = word
        self.gossip.say(word)

    def alarm(self, queue: str, what: str, about: str = "credential") -> None:
        """What is or will be wrong with a queue's credential, or with its machines; empty when nothing is."""
        if what and not self.alarms.get((queue, about)):
            log.warning("queue %s: %s", queue, what)
        self.alarms[queue, about] = what

    def outlook(self, queue: Queue) -> Outlook:
        """What explain and the list of queues say of a queue."""
        jobs, _ = self.dispatcher.queues.demand(expected(queue))
        said = self.decisions.get(queue.name) or Decided(queue.name, queue.undecided())
        return Outlook(jobs, said)

    async def pause(self, seconds: float) -> None:
        """Wait, unless the central is asked to stop."""
        try:
            await asyncio.wait_for(self.closing.wait(), seconds)
        except TimeoutError:
            pass


def compose(
    folder: Folder,
    settings: CentralSettings,
    ring: KeyRing,
    clock: Clock,
    wall: Callable[[], float],
    interface: bytes,
    worker: int = 0,
) -> Central:
    """Make the parts; nothing is opened yet. `wall` is the time of this machine."""
    service = settings.service
    database = open_database(folder, service, wall)
    time = DatabaseTime(clock, wall) if is_postgresql(service.database) else None
    now = time.now if time else wall
    gossip = Gossip(database if time else None, secrets.token_hex(6), clock, now)
    store: CountedStore = database if gossip.alone else telling(database, gossip)
    elsewhere = None if gossip.alone else Elsewhere(gossip, clock)
    presence, objects = Presence(clock.now, _free(gossip)), open_objects(folder.objects(service))
    standings = Standings(settings.communities, settings.shares.half_life)
    places, started, hub = Places(settings), clock.now(), Hub(_seen(gossip))
    vault = Vault.of(ring)
    return Central(
        folder=folder,
        places=places,
        clock=clock,
        wall=now,
        store=store,
        presence=presence,
        dispatcher=Dispatcher(store, presence, clock, service.max_held, random.random, standings, _together(places)),
        roster=Roster(store, clock.now),
        orders=OrderDesk(store),
        inputs=Inputs(store),
        objects=objects,
        logs=LogStore(objects, _bound(settings), elsewhere),
        sandboxes=SandboxStore(objects, store, service.sandbox_bound, not gossip.alone, now),
        bundles=BundleStore(objects, store, places),
        ring=ring,
        vault=vault,
        waiting=of_waiting(service.person_waiting, clock.now),
        stored=of_bytes(service.person_sandbox, clock.now),
        audit=Noting(store, clock),
        signings=Signings(),
        lately=Lately(store, clock.now),
        refreshing=_refreshing(store, vault, places, folder.path, now, clock),
        callers=Callers(ring, People(settings.tokens), Nonces(lambda: clock.now() - started), now),
        rates=Rates(service, clock.now, gossip.alone),
        logins=_logins(settings.login, folder.path, clock),
        hub=hub,
        job_changes=JobChanges(store, hub),
        gossip=gossip,
        elsewhere=elsewhere,
        time=time,
        metrics=Metrics(store.commits, worker, Neighbours(folder.workers, worker) if worker else None),
        pilot_files=pilot_files(folder.pilot(service)),
        interface=interface,
        started=started,
        worker=worker,
        certificates=_certificates(settings, folder.path),
    )


def _logins(login: Login | None, folder: Path, clock: Clock) -> Logins | None:
    """By the provider of the settings, where there is one: for that alone another package is needed."""
    if login is None:
        return None
    try:
        from central.login.logins import open_logins
    except ModuleNotFoundError as error:
        raise PilotageError(
            f"The section [login] of central.toml needs the package {error.name}, which is not here: install"
            " pilotage[central,oidc]."
        ) from error
    return open_logins(login, folder, clock.now)


def _certificates(settings: CentralSettings, folder: Path) -> CertificateLogins | None:
    """With certificates, where the settings say so: for that alone another package is needed."""
    if settings.certificates is None:
        return None
    try:
        from central.login.certificate_logins import open_certificate_logins
    except ImportError as error:  # also where `cryptography` is too old
        raise PilotageError(
            f"The section [certificates] of central.toml needs packages that are not here ({error}): install"
            " pilotage[central,voms]."
        ) from error
    return open_certificate_logins(settings.certificates, settings.service, folder)


def _refreshing(
    store: Store, vault: Vault, places: Places, folder: Path, wall: Callable[[], float], clock: Clock
) -> Refreshing:
    """Where it may ask is the settings' to say."""
    ca = places.settings.service.token_ca
    ask = ask_with(str(folder / ca) if ca else "")
    return Refreshing(store, vault, ask, lambda: places.settings.service.token_urls, wall, clock.sleep)


def _bound(settings: CentralSettings) -> int:
    """Bytes that one log stream may have."""
    return _LOG_SLACK + max((settings.service.log_bound, *(queue.settings.log_bound for queue in settings.queues)))


def _together(places: Places) -> Callable[[str], bool]:
    """Whether payloads of several communities may share an account at a queue, by the settings in force."""

    def together(name: str) -> bool:
        queue = places.settings.queue(name)
        return queue is not None and queue.settings.isolation == "none"

    return together


def _free(gossip: Gossip) -> Callable[[str, int, Offer], None] | None:
    """How other centrals learn what agents have left; None: there are none."""
    if gossip.alone:
        return None

    def tell(stamp: str, agent: int, offer: Offer) -> None:
        gossip.say(Free(stamp, agent, offer))

    return tell


def _seen(gossip: Gossip) -> Callable[[Collection[str], Event], None] | None:
    """How the events of this central reach those who watch at others."""
    if gossip.alone:
        return None

    def tell(communities: Collection[str], event: Event) -> None:
        whose = tuple(communities)
        if isinstance(event, JobChanged):
            gossip.say(JobSeen(whose, event))
        elif isinstance(event, JobsSubmitted):
            gossip.say(JobsSeen(whose, event))
        else:
            gossip.say(PilotSeen(whose, event))

    return tell


def pilot_files(current: Path) -> Mapping[str, Path]:
    """What is served to pilots that start: the present file, and earlier ones that submitted wrappers still name."""
    kept = current.parent / "pilot-files"
    files = {path.name: path for path in kept.iterdir()} if kept.is_dir() else {}
    if current.exists():
        content = current.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if digest not in files:
            kept.mkdir(mode=0o700, exist_ok=True)
            unfinished = kept / f".{digest}.{secrets.token_hex(4)}"
            unfinished.write_bytes(content)
            files[digest] = unfinished.replace(kept / digest)
    return files
