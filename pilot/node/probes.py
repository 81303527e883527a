"""Runs probes side by side, each within its time. One that hangs or fails leaves its facts unknown, and says why."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, Optional

from pilot.protocol import Fact

#: Seconds that one probe may take; a dead network file system takes for ever.
LIMIT = 5.0


@dataclass(frozen=True)
class Probe:
    name: str
    gives: tuple[str, ...]  # names of the facts that it finds
    run: Callable[[], Sequence[Fact]]
    limit: Optional[float] = None  # seconds, for one that may rightly take longer than others


def run_probes(probes: Sequence[Probe], limit: float = LIMIT) -> tuple[Fact, ...]:
    """The facts of all probes, in their order."""
    found: dict[str, Sequence[Fact]] = {}

    def carry_out(probe: Probe) -> None:
        try:
            found[probe.name] = probe.run()
        except Exception as error:  # noqa: BLE001 - one probe's fault is one unknown, never the end of a pilot
            found[probe.name] = _unknown(probe, f"the probe {probe.name} failed: {type(error).__name__}: {error}")

    threads = [threading.Thread(target=carry_out, args=(probe,), daemon=True) for probe in probes]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    for probe, thread in zip(probes, threads):
        thread.join(max(0.0, began + _limit(probe, limit) - time.monotonic()))
    facts: list[Fact] = []
    for probe in probes:
        late = f"the probe {probe.name} did not answer within {_limit(probe, limit):g} s"
        facts.extend(found.get(probe.name) or _unknown(probe, late))
    return tuple(facts)


def _limit(probe: Probe, usual: float) -> float:
    return usual if probe.limit is None else probe.limit


def _unknown(probe: Probe, why: str) -> list[Fact]:
    return [Fact(name, None, why) for name in probe.gives]
