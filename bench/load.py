"""What waits and who asks, for the measurements of the queue: the production snapshot, a hostile one, a plain one.

A load is the same for the same arguments. It is put into a store by the verb that a submission ends in, as sweeps.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench import snapshot
from central.configuration.settings import Community, Group
from central.records import Identity, Limit, NewJobs
from central.store.port import Store
from pilot import tags
from pilot.protocol import JobSpec, Needs, Offer, Platform

GB = 10**9
#: The DIRAC unit of CPU time is a core of some twenty years ago; one of today does this many of them in a second.
POWER = 10
#: Jobs that one call to the store brings.
CHUNK = 20_000
TAGS = 300
NOWHERE = "nowhere"  # a tag that no pilot has
SEED = 20_260_328


@dataclass(frozen=True)
class Sweep:
    """Jobs of one owner that are alike."""

    who: Identity
    needs: Needs
    jobs: int
    priority: int = 5


@dataclass(frozen=True)
class Load:
    """Jobs that wait, each sweep in a queue of its own, and pilots that ask, in turn with these offers."""

    name: str
    about: str
    sweeps: tuple[Sweep, ...]
    offers: tuple[Offer, ...]

    @property
    def jobs(self) -> int:
        return sum(sweep.jobs for sweep in self.sweeps)

    @property
    def sites(self) -> tuple[str, ...]:
        return tuple(sorted({offer.site for offer in self.offers}))

    def communities(self) -> tuple[Community, ...]:
        """Who the jobs belong to, with shares that differ."""
        groups: dict[str, set[str]] = {}
        for sweep in self.sweeps:
            groups.setdefault(sweep.who.community, set()).add(sweep.who.group)
        return tuple(
            Community(name, 1.0 + number, tuple(Group(group, 1.0 + n) for n, group in enumerate(sorted(groups[name]))))
            for number, name in enumerate(sorted(groups))
        )

    def limits(self) -> tuple[Limit, ...]:
        """One for each site, which every lease there counts against and which never binds."""
        return tuple(Limit(f"at-{site}", attempts=10**7, site=site) for site in self.sites)


async def fill(store: Store, load: Load) -> float:
    """Submit all of it; returns the seconds that it took."""
    begun = time.perf_counter()
    pending: dict[Identity, list[NewJobs]] = {}
    held: dict[Identity, int] = {}
    for sweep in load.sweeps:
        for first in range(0, sweep.jobs, CHUNK):
            count = min(CHUNK, sweep.jobs - first)
            pending.setdefault(sweep.who, []).append(_document(sweep, first, count))
            held[sweep.who] = held.get(sweep.who, 0) + count
            if held[sweep.who] >= CHUNK:
                held.pop(sweep.who)
                await store.submit(sweep.who, pending.pop(sweep.who), None, "")
    for who, documents in pending.items():
        await store.submit(who, documents, None, "")
    return time.perf_counter() - begun


def _document(sweep: Sweep, first: int, count: int) -> NewJobs:
    spec = JobSpec(("simulate", "--run", "{run}"), sweep.needs, "run-{run}", priority=sweep.priority)
    return NewJobs(spec, [({"run": str(run)}, None) for run in range(first, first + count)])


# -- the production snapshot ------------------------------------------------------------------------------------------


def production(folder: Path | None = None, part: float = 1.0) -> Load:
    """The snapshot: which sites and which platform a queue wants is drawn, only their totals are known. So is a disk
    space by which queues of otherwise equal needs stay apart. `part` of the jobs of every queue are taken."""
    found = snapshot.read(folder)
    rng = random.Random(SEED)
    platforms = [
        Platform(arch, level, glibc) for number, arch, level, glibc in snapshot.PLATFORMS for _ in range(number)
    ]
    rng.shuffle(platforms)
    sweeps = []
    for number, backlog in enumerate(found.queues):
        needs = Needs(
            wall_time=max(60, backlog.cpu_time // POWER),
            disk=(1000 + number) * 10**6,
            sites=_sites(rng, found, anywhere="mc" in backlog.group),
            not_sites=(rng.choice(found.bans),) if found.bans and number % 100 == 50 else (),
            platform=platforms[number % len(platforms)],
        )
        owner = f"user{number % 2 + 1}" if "user" in backlog.group else "production"
        who = Identity(owner, "lhcb", backlog.group, "member")
        sweeps.append(Sweep(who, _without_banned(needs), max(1, round(backlog.jobs * part))))
    offers = tuple(_production_offers(rng, tuple(found.sites)))
    about = f"{sum(sweep.jobs for sweep in sweeps):,} jobs in {len(sweeps)} queues, {found.origin}; 60 sites"
    return Load("production", about, tuple(sweeps), offers)


def _sites(rng: random.Random, found: snapshot.Snapshot, *, anywhere: bool) -> tuple[str, ...] | None:
    """Where a queue may run: simulation at all sites but the few that take less of it, other work where it is drawn."""
    total, usual = len(found.queues), found.everywhere
    if anywhere:
        chosen = [site for site, queues in found.sites.items() if rng.random() < queues / usual]
    else:
        chosen = [site for site, queues in found.sites.items() if rng.random() < (queues - usual) / (total - usual)]
    return tuple(sorted(chosen)) or (max(found.sites, key=lambda site: found.sites[site]),)


def _without_banned(needs: Needs) -> Needs:
    left = tuple(site for site in needs.sites or () if site not in needs.not_sites)
    return replace(needs, sites=left or None)


def _production_offers(rng: random.Random, sites: Sequence[str]) -> Iterator[Offer]:
    """Four kinds of node at each site."""
    for _ in range(4):
        for site in sites:
            arm = rng.random() < 0.1
            platform = Platform(
                "aarch64" if arm else "x86_64",
                None if arm else rng.choice((3, 3, 4)),
                (2, 34) if arm or rng.random() < 0.8 else (2, 28),
                "almalinux 9",
            )
            hours = rng.choice((24, 36, 48, 72))
            yield Offer(
                site,
                "ce",
                cores=1,
                memory=4 * GB,
                disk=40 * GB,
                seconds_left=hours * 3600,
                platform=platform,
                tags=("cvmfs",),
                communities=("lhcb",),
            )


# -- a hostile one ----------------------------------------------------------------------------------------------------


def hostile(jobs: int = 1_000_000, queues: int = 20_000, blocked: float = 0.2) -> Load:
    """Boolean expressions over 300 tags, all kinds of amounts, 5 communities of 4 groups; and the part of the queues
    that goes first, by priority and by age, can run nowhere."""
    rng = random.Random(SEED)
    first = int(queues * blocked)
    sizes = [jobs // queues + (number < jobs % queues) for number in range(queues)]
    sweeps = [_hostile(rng, number, sizes[number], blocked=number < first) for number in range(queues)]
    offers = tuple(_hostile_offer(rng) for _ in range(240))
    about = f"{jobs:,} jobs in {queues:,} queues over {TAGS} tags; the first {first:,} queues fit nobody"
    return Load("hostile", about, tuple(sweeps), offers)


def hostile_of(*, full: bool) -> Load:
    """The size that is measured, or the largest."""
    return hostile(10_000_000, 100_000) if full else hostile()


def _hostile(rng: random.Random, number: int, jobs: int, *, blocked: bool) -> Sweep:
    community, group = rng.randrange(5), rng.randrange(4)
    who = Identity(f"u{number % 50}", f"c{community}", f"g{group}", "member")
    cores = rng.choice((1, 1, 1, 1, 2, 4, 8))
    needs = Needs(
        cores=cores,
        max_cores=rng.choice((cores, cores, 2 * cores)),
        memory=rng.choice((0, 1, 2, 4, 8)) * GB,
        memory_per_core=rng.choice((0, 0, 2)) * GB,
        disk=rng.randrange(1, 20_000) * 10**6,
        wall_time=rng.choice((600, 3600, 7200, 43_200, 86_400, 172_800)),
        tags=_expression(rng),
        not_sites=(f"s{rng.randrange(60)}",) if rng.random() < 0.3 else (),
    )
    if blocked and number % 2:
        needs = replace(needs, tags=tags.canonical(f"{NOWHERE} & ({needs.tags})", "tags"))
    elif blocked:
        needs = replace(needs, memory=10**15)
    return Sweep(who, needs, jobs, priority=10 if blocked else rng.choice((1, 3, 5, 5, 7, 9)))


def _expression(rng: random.Random) -> str:
    one, two, three, other, last = (f"t{tag:03}" for tag in rng.sample(range(TAGS), 5))
    written = rng.choice(
        (
            f"{one}",
            f"({one} | {two}) & ~{other}",
            f"{one} | {two} & ~{other}",
            f"({one} | {two} | {three}) & (~{other} | {last})",
            f"~{other} & ~{last}",
        )
    )
    return tags.canonical(written, "tags")


def _hostile_offer(rng: random.Random) -> Offer:
    return Offer(
        f"s{rng.randrange(60)}",
        "ce",
        cores=8,
        memory=64 * GB,
        disk=500 * GB,
        seconds_left=rng.choice((7200, 86_400, 200_000)),
        tags=tuple(f"t{tag:03}" for tag in sorted(rng.sample(range(TAGS), 100))),
        unknown_tags=tuple(f"x{tag}" for tag in range(3)),
        communities=tuple(f"c{community}" for community in sorted(rng.sample(range(5), 3))),
    )


# -- a plain one ------------------------------------------------------------------------------------------------------


def plain(jobs: int, queues: int) -> Load:
    """So many jobs evenly in so many queues, for the curves: several owners, sites and amounts, and every queue fits
    some of the offers."""
    rng = random.Random(SEED)
    sweeps = []
    for number in range(queues):
        who = Identity(f"u{number % 40}", "lhcb", f"g{number % 5}", "member")
        needs = Needs(
            memory=rng.choice((1, 2, 4)) * GB,
            disk=(1 + number) * 10**5,
            wall_time=rng.choice((3600, 7200, 43_200, 86_400)),
            tags=rng.choice(("", "", "cvmfs", "avx2", "~slow-disk")),
            sites=None if rng.random() < 0.7 else tuple(f"s{site:02}" for site in sorted(rng.sample(range(20), 4))),
        )
        size = jobs // queues + (number < jobs % queues)
        sweeps.append(Sweep(who, needs, size, rng.choice((3, 5, 5, 5, 7))))
    offers = tuple(
        Offer(
            f"s{number % 20:02}",
            "ce",
            cores=1,
            memory=4 * GB,
            disk=40 * GB,
            seconds_left=rng.choice((86_400, 100_000, 172_800)),
            tags=tuple(rng.sample(("cvmfs", "avx2", "slow-disk"), 2)),
            communities=("lhcb",),
        )
        for number in range(60)
    )
    return Load("plain", f"{jobs:,} jobs in {queues:,} queues", tuple(sweeps), offers)
