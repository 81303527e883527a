"""Virtual machines as tables and facts."""

from __future__ import annotations

from collections.abc import Sequence

from pilot.places import CanaryView
from pilot.states import ENROLLED, LIVE_PILOT
from pilot.views import MachineLoad, MachineView, PilotDetail, PilotView
from pilotage import words
from pilotage.screen import Table

#: Moments of a machine's history that are shown.
SHOWN = 20
#: Characters of the bar of a load.
WIDTH = 20


def vms_table(vms: Sequence[PilotView]) -> Table:
    """A row for each machine."""
    rows = []
    for vm in vms:
        machine = vm.machine or MachineView()
        live = vm.state in LIVE_PILOT  # of one that has ended the last words are no news
        rows.append(
            (
                words.stamp(vm.stamp),
                vm.reference,
                vm.queue,
                machine.flavor,
                vm.state.value,
                _load(machine.load) if live else "",
                str(vm.running) if vm.state in ENROLLED else "",
                words.size(machine.disk_free) if live else "",
                words.seconds(machine.uptime) if live else "",
                _where(machine),
                words.pilot_note(vm),
            )
        )
    columns = ("VM", "NAME", "QUEUE", "FLAVOR", "STATE", "LOAD", "JOBS", "DISK FREE", "UPTIME", "CLOUD", "NOTE")
    return Table(columns, rows, right=("LOAD", "JOBS", "DISK FREE", "UPTIME"))


def vm_facts(detail: PilotDetail, asked: CanaryView | None, now: float) -> list[tuple[str, str]]:
    """Everything about a machine, as names and values. `asked`: what its cloud says, where it was asked."""
    vm = detail.pilot
    machine = vm.machine or MachineView()
    heard = f"{words.clock(vm.last_seen)}, {words.ago(vm.last_seen, now)} ago" if vm.last_seen else "never"
    cores = f" of {words.plural(vm.cores, 'core')}" if vm.cores else ""
    return [
        ("vm", vm.stamp),
        ("name", vm.reference),
        ("state", vm.state.value),
        ("at the cloud", _standing(asked) if asked else ""),
        ("note", words.pilot_note(vm)),
        ("where", f"site {vm.site}, queue {vm.queue}, host {vm.host or 'unknown'}"),
        ("flavor", machine.flavor),
        ("cloud", _where(machine)),
        ("instance", machine.instance if machine.instance != vm.reference else ""),
        ("load", f"{_load(machine.load)}{cores}" if machine.load is not None else ""),
        ("jobs", str(vm.running)),
        ("disk", f"{words.size(machine.disk_free)} free" if machine.disk_free is not None else ""),
        ("uptime", words.seconds(machine.uptime)),
        ("asked for", words.clock(vm.created)),
        ("enrolled", words.clock(vm.enrolled)),
        ("heard", heard),
        ("ended", words.clock(vm.ended)),
    ]


def _standing(asked: CanaryView) -> str:
    if asked.problem:
        return f"not known: {asked.problem}"
    return ", ".join(filter(None, (asked.standing or "its cloud does not list it", asked.why)))


def loads_table(detail: PilotDetail, most: int = SHOWN) -> Table:
    """What a machine has had to do: moments spread over all that is known, the last one among them."""
    full = max([detail.pilot.cores, *(one.load for one in detail.loads)]) or 1
    rows = [
        (
            words.clock(one.time),
            _load(one.load),
            "█" * round(WIDTH * one.load / full),
            "" if one.jobs is None else str(one.jobs),
            words.size(one.disk_free),
        )
        for one in spread(detail.loads, most)
    ]
    return Table(("WHEN", "LOAD", "", "JOBS", "DISK FREE"), rows, right=("LOAD", "JOBS", "DISK FREE"))


def spread(loads: Sequence[MachineLoad], most: int) -> list[MachineLoad]:
    """At most so many of them, two or more, at even distances from the first to the last."""
    if len(loads) <= most:
        return list(loads)
    return [loads[round(place * (len(loads) - 1) / (most - 1))] for place in range(most)]


def _load(load: float | None) -> str:
    return "" if load is None else f"{load:.2f}"


def _where(machine: MachineView) -> str:
    """Which cloud, and where in it."""
    return " ".join(filter(None, (machine.cloud, machine.zone)))
