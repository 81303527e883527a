"""The settings in force: the file's, and what was added while the central runs: communities, groups, sites, queues.

What was added is kept as it was written, and read by the reader of the file. A name that the file declares is the
file's. What cannot be used any more, as when its site has gone from the file, is left out, and why is told.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from central.added import PlaceRow
from central.configuration import belonging
from central.configuration.belonging import COMMUNITY, GROUP
from central.configuration.settings import EXTERNAL, KINDS, LOCAL, CentralSettings, Queue, Site
from central.configuration.settings_file import InvalidSettings
from central.configuration.settings_pipelines import check, of_queue
from central.configuration.settings_queues import queue
from central.configuration.unmet import unmet
from central.records import Identity
from pilot.errors import InvalidInput, PilotageError
from pilot.fields import Fields

SITE, QUEUE = "site", "queue"
#: What may be added; each after what it needs.
_KINDS = (COMMUNITY, GROUP, SITE, QUEUE)
Named = tuple[str, str]  # kind, name


@dataclass(frozen=True)
class InForce:
    """What counts now, what of it was added, why some of what was added does not count, and what in the file counts
    nowhere as long as nothing of the name is added."""

    settings: CentralSettings
    added: Mapping[Named, PlaceRow]
    problems: Mapping[Named, str]
    unmet: Mapping[Named, str]


class Places:
    """The settings in force at one central, for as long as it runs."""

    def __init__(self, file: CentralSettings) -> None:
        self._file = file
        self._now = InForce(file, {}, {}, {})

    @property
    def settings(self) -> CentralSettings:
        """The same record until something changes."""
        return self._now.settings

    @property
    def problems(self) -> Mapping[Named, str]:
        """Why some of what was added is not used."""
        return self._now.problems

    @property
    def unmet(self) -> Mapping[Named, str]:
        """The limits and pipelines of the file that count nowhere now, and why: from the first `take` on."""
        return self._now.unmet

    def added(self, kind: str, name: str) -> PlaceRow | None:
        """What was added under that name and counts; None for what is the file's."""
        return self._now.added.get((kind, name))

    def declares(self, kind: str, name: str) -> bool:
        """Whether the file has that name."""
        if kind in (COMMUNITY, GROUP):
            return belonging.declares(self._file, kind, name)
        places = self._file.sites if kind == SITE else self._file.queues
        return any(place.name == name for place in places)

    def without(self, kind: str, name: str) -> Mapping[Named, str]:
        """What of that which was added would count no more if this were removed, and why."""
        left = [row for named, row in self._now.added.items() if named != (kind, name)]
        return in_force(self._file, left).problems

    def take(self, rows: Iterable[PlaceRow]) -> bool:
        """Make these what was added. Returns whether anything is another than before."""
        found = in_force(self._file, rows)
        before = self._now
        if (found.added, found.problems, found.unmet) == (before.added, before.problems, before.unmet):
            return False
        self._now = found
        return True

    def read(self, text: str, who: Identity) -> Queue:
        """A queue as an operator writes it, in the settings in force. Raises `InvalidSettings` with every mistake."""
        found = read_queue(text, self.settings)
        if self.declares(QUEUE, found.name):
            problem = "expected another name: central.toml declares a queue of this one, which counts"
            raise InvalidSettings(QUEUE, [InvalidInput("name", problem)])
        if problems := [*_beyond(found, self._file), *_not_own(found, who)]:
            raise InvalidSettings(QUEUE, problems)
        return found


def in_force(file: CentralSettings, rows: Iterable[PlaceRow]) -> InForce:
    """Lay what was added beside the file."""
    known = [row for row in rows if row.kind in _KINDS]  # a later version may have more
    newest = sorted(known, key=lambda row: (_KINDS.index(row.kind), row.name))
    settings, added, problems = file, dict[Named, PlaceRow](), dict[Named, str]()
    for row in newest:
        try:
            settings = _with(settings, row, file)
        except PilotageError as problem:
            problems[row.kind, row.name] = str(problem)
        else:
            added[row.kind, row.name] = row
    return InForce(settings, added, problems, unmet(settings))


def _with(settings: CentralSettings, row: PlaceRow, file: CentralSettings) -> CentralSettings:
    if row.kind == COMMUNITY:
        return belonging.with_community(settings, row)
    if row.kind == GROUP:
        return belonging.with_group(settings, row)
    places = settings.sites if row.kind == SITE else settings.queues
    if any(place.name == row.name for place in places):
        raise PilotageError(f"central.toml declares a {row.kind} {row.name}, which counts")
    if row.kind == SITE:
        return replace(settings, sites=(*settings.sites, Site(row.name)))
    found = read_queue(row.text, settings)
    if found.name != row.name:
        raise PilotageError(f"{row.name}: this is the text of the queue {found.name}")
    if problems := _beyond(found, file):  # this file: the central that took it may have had another
        raise InvalidSettings(QUEUE, problems)
    return replace(
        settings,
        queues=(*settings.queues, found),
        pipelines=(*settings.pipelines, *of_queue(found, f"{QUEUE} {found.name}: settings")),
    )


def _beyond(queue: Queue, file: CentralSettings) -> list[InvalidInput]:
    """What only the owner of the central's account may decide: what is run on its host as itself, and which of its
    files leave it."""
    problems = []
    if _as_the_central(queue) and not any(one.kind == queue.kind and _as_the_central(one) for one in file.queues):
        problem = "expected another kind: jobs of such a queue run as the central itself, so only central.toml has one"
        if queue.kind != LOCAL:
            problem += "; or a section [queues.ssh], for the batch system of another host"
        problems.append(InvalidInput("kind", problem))
    if queue.kind == LOCAL and not problems and not any(_guarded(one) == _guarded(queue) for one in file.queues):
        problem = "expected slot_users, environment, policy and settings of containers as a local queue of central.toml"
        problems.append(InvalidInput("kind", f"{problem} has them: its jobs run on the central's own host"))
    if queue.ssh is None:
        problems += [
            InvalidInput(
                f"batch.{key}", "expected none: what runs on the central's own host is for central.toml to say"
            )
            for key in ("programs", "environment", "extra")
            if getattr(queue.batch, key)
        ]
    if queue.arc:
        problems += [
            InvalidInput(f"arc.{key}", "expected none: which file leaves the central's host is for central.toml to say")
            for key in ("proxy", "token")
            if getattr(queue.arc, key)
        ]
    if queue.cloud:
        problems += [
            InvalidInput(
                f"cloud.{key}", "expected none: which files of the central's host are used is for central.toml to say"
            )
            for key in ("ca", "folder")
            if getattr(queue.cloud, key)
        ]
        problems += _on_this_host(queue, file, problems)
    return problems


def _on_this_host(queue: Queue, file: CentralSettings, known: Sequence[InvalidInput]) -> list[InvalidInput]:
    """What machines, and whoever speaks for a cloud, reach of the central's own host."""
    problems = []
    if queue.cloud and queue.cloud.url.startswith("http:"):
        problem = "expected https: what is asked on the central's own host is for central.toml to say"
        problems.append(InvalidInput("cloud.url", problem))
    if _as_the_central(queue) and not known and not any(_inside(one) == _inside(queue) for one in file.queues):
        problem = "expected slot_users, metadata, networks, and the flavor of containers, as a queue of this kind in"
        problem += " central.toml has them: its machines are on the central's own host"
        problems.append(InvalidInput("kind", problem))
    return problems


def _inside(queue: Queue) -> tuple[object, ...]:
    """What keeps machines on this host from the central, whose kernel or network they have."""
    cloud = queue.cloud
    profile = cloud.flavor if cloud and queue.kind == "pycloudlib" else ""
    return (queue.kind, queue.slot_users, queue.metadata, cloud.networks if cloud else (), profile)


def _guarded(queue: Queue) -> tuple[object, ...]:
    """What keeps the jobs of a queue on this host from the central."""
    settings = queue.settings
    held = (settings.isolation, settings.containers, settings.image, settings.job_images, settings.bind)
    return (queue.kind, queue.slot_users, queue.environment, queue.policy, *held)


def _as_the_central(queue: Queue) -> bool:
    """Whether its jobs run as the account of the central: on its host, or where the batch system of its host has
    nodes; or as root in guests of its host. Another schedd knows us by who we are there."""
    elsewhere = queue.kind in (EXTERNAL, "arc", "openstack", "ec2") or queue.ssh or queue.schedd.name
    return queue.kind in KINDS and not elsewhere


def _not_own(queue: Queue, who: Identity) -> list[InvalidInput]:
    named = queue.credential
    if not named or (named.community, named.owner) == (who.community, who.user):
        return []
    problem = "expected one of your own: whose secret goes to this computing element is for central.toml to say"
    return [InvalidInput("credential", problem)]


def read_queue(text: str, settings: CentralSettings) -> Queue:
    """The one queue of a text: its keys alone, or as a table ``[[queues]]``. Raises `InvalidSettings`."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidSettings(QUEUE, [InvalidInput("", f"this is not TOML: {error}")]) from error
    problems: list[InvalidInput] = []
    table, where = _table(document, problems)
    found = queue(
        Fields(table, where, problems),
        settings.service,
        tuple(community.name for community in settings.communities),
        settings.sites,
    )
    layers = (*settings.pipelines, *of_queue(found, f"{where}.settings" if where else "settings"))
    if not problems:
        check(layers, (found,), problems)
    if problems:
        raise InvalidSettings(QUEUE, problems)
    return found


def _table(document: Mapping[str, Any], problems: list[InvalidInput]) -> tuple[Any, str]:
    tables = document.get("queues")
    if not isinstance(tables, list):
        return document, ""
    problems += [InvalidInput(key, "expected nothing beside [[queues]]") for key in document if key != "queues"]
    if len(tables) != 1:
        problems.append(InvalidInput("queues", f"expected one queue, got {len(tables)}: add one at a time"))
    return tables[0] if tables else {}, "queues[0]"
