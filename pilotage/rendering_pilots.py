"""Pilots and queues as tables and facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pilot.queues import PauseView, QueueExplanation, QueueView, SiteView
from pilot.states import LIVE_PILOT, PilotState
from pilot.views import ANOTHER, PilotDetail, PilotExplanation, PilotView
from pilotage import words
from pilotage.rendering_errors import code_facts
from pilotage.screen import Table

_STATES = [state.value for state in PilotState]


def pilots_table(pilots: Sequence[PilotView], now: float) -> Table:
    """A row for each pilot."""
    rows = [
        (
            words.stamp(pilot.stamp),
            pilot.state.value,
            pilot.site,
            pilot.queue,
            pilot.host,
            str(pilot.cores or ""),
            str(pilot.running),
            words.ago(pilot.created, now),
            words.ago(pilot.last_seen, now),
            words.pilot_note(pilot),
        )
        for pilot in pilots
    ]
    columns = ("PILOT", "STATE", "SITE", "QUEUE", "HOST", "CORES", "JOBS", "AGE", "HEARD", "NOTE")
    return Table(columns, rows, right=("CORES", "JOBS", "AGE", "HEARD"))


def pilot_facts(detail: PilotDetail, now: float) -> list[tuple[str, str]]:
    """Everything about a pilot, as names and values."""
    pilot = detail.pilot
    heard = f"{words.clock(pilot.last_seen)}, {words.ago(pilot.last_seen, now)} ago" if pilot.last_seen else "never"
    facts = [
        ("pilot", pilot.stamp),
        ("state", pilot.state.value),
        ("note", words.pilot_note(pilot)),
        *(code_facts(pilot.code) if pilot.code else ()),
        ("exit code", "" if pilot.exit_code is None else str(pilot.exit_code)),
        ("where", f"site {pilot.site}, queue {pilot.queue}, host {pilot.host or 'unknown'}"),
        ("reference", pilot.reference),
        ("communities", ", ".join(pilot.communities)),
        ("serves", _serves(pilot.bound)),
        ("created", words.clock(pilot.created)),
        ("enrolled", words.clock(pilot.enrolled)),
        ("heard", heard),
        ("ended", words.clock(pilot.ended)),
        ("epoch", str(pilot.epoch or "")),
        ("logs", _logs(detail.streams)),
    ]
    return facts + [(f"node: {name}", _fact(name, value)) for name, value in sorted(detail.facts.items())]


def _serves(bound: str) -> str:
    """Whom a pilot serves that does not serve all of its communities."""
    if not bound:
        return ""
    return f"{'another community' if bound == ANOTHER else bound} alone, until its end: payloads share its account"


def _logs(streams: Mapping[str, int]) -> str:
    """The pilot's own streams; those of jobs are read by way of their jobs."""
    own = [f"{name} ({words.size(size)})" for name, size in streams.items() if not name.startswith("job-")]
    jobs = len(streams) - len(own)
    return ", ".join(own + ([f"and {words.plural(jobs, 'stream')} of jobs"] if jobs else []))


def _fact(name: str, value: str) -> str:
    """A value and its source, bytes as people read them; a text without a character is none."""
    amount, _, source = value.partition(" ")
    if not amount:
        return f"none {source}"
    return f"{words.size(int(amount))} {source}" if name in ("disk", "memory") and amount.isdigit() else value


def pilot_explanation(explained: PilotExplanation) -> list[tuple[str, str]]:
    """Why a pilot gets nothing, before the table of needs."""
    return [
        ("pilot", explained.stamp),
        ("state", explained.state.value),
        ("why", explained.summary),
        *(code_facts(explained.code) if explained.code else ()),
        ("jobs", f"{explained.waiting:,} wait, {explained.fitting:,} of them would fit"),
    ]


def queues_table(queues: Sequence[QueueView]) -> Table:
    """A row for each queue."""
    rows = [
        (
            queue.name,
            queue.site,
            queue.kind,
            "" if _unused(queue) else str(queue.slots),
            words.counts({state.value: queue.pilots.get(state.value, 0) for state in LIVE_PILOT}, _STATES),
            "" if _unused(queue) else str(queue.demand),
            f"not used: {queue.problem}" if _unused(queue) else _decision(queue),
        )
        for queue in queues
    ]
    columns = ("QUEUE", "SITE", "KIND", "SLOTS", "PILOTS", "DEMAND", "LAST DECISION")
    return Table(columns, rows, right=("SLOTS", "DEMAND"))


def _unused(queue: QueueView) -> bool:
    """Whether it was added and does not count; a name that the settings file has counts as it says there."""
    return bool(queue.problem) and not queue.kind


def _decision(queue: QueueView) -> str:
    """What its director decided, and that something was added under its name in vain."""
    return f"{queue.decision}; what was added is not used: {queue.problem}" if queue.problem else queue.decision


def queue_facts(queue: QueueView) -> list[tuple[str, str]]:
    """Everything about a queue, as names and values."""
    return [
        ("queue", queue.name),
        ("added", f"what was added is not used: {queue.problem}" if queue.problem else ""),
        ("site", queue.site),
        ("kind", queue.kind),
        ("flavor", queue.flavor),
        ("slots", f"{words.plural(queue.slots, 'pilot')} at the same time"),
        ("pilots", words.counts(queue.pilots, _STATES) or "none yet"),
        ("demand", f"{words.plural(queue.demand, 'waiting job')} would fit a pilot of it"),
        ("decision", queue.decision or "none yet"),
        ("paused", _paused(queue.paused)),
        ("instead of", f"a pause {_paused(queue.instead_of)}" if queue.instead_of else ""),
    ]


def queue_explanation(explained: QueueExplanation, now: float) -> list[tuple[str, str]]:
    """Why the director of a queue sends pilots, or none."""
    facts = queue_facts(explained.queue)
    since = f"{explained.cause}, for {words.ago(explained.since, now)}" if explained.cause and explained.since else ""
    return [
        *facts,
        ("cause", since),
        ("looked", f"{words.ago(explained.looked, now)} ago" if explained.looked else ""),
        ("tried again", f"{words.clock(explained.until)}, with a single pilot" if explained.until else ""),
        *(("waiting", f"{words.plural(one.pilots, 'pilot')}: {one.words}") for one in explained.waits),
    ]


def sites_table(sites: Sequence[SiteView]) -> Table:
    """A row for each site."""
    rows = [(site.name, ", ".join(site.queues), _paused(site.banned, whole=False)) for site in sites]
    return Table(("SITE", "QUEUES", "BANNED"), rows)


def site_facts(site: SiteView) -> list[tuple[str, str]]:
    """Everything about a site, as names and values."""
    banned = _paused(site.banned, whole=False) or "no"
    return [("site", site.name), ("queues", ", ".join(site.queues)), ("banned", banned)]


def _paused(pause: PauseView | None, *, whole: bool = True) -> str:
    if pause is None:
        return ""
    site = f", with the site {pause.site}" if whole and pause.site else ""
    until = f" until {words.clock(pause.until)}" if pause.until else ""
    return f"by {pause.who} since {words.clock(pause.since)}{until}{site}: {pause.reason}"
