"""How long a printed line takes to somebody who follows the log: `python -m bench.latency`."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field

from bench import report
from pilotage import Client
from tests.system import Plan

LINES = 60
PERIOD = 0.23  # seconds between lines: no multiple of any interval of the pilot
PRINT = (
    "import time\n"
    "time.sleep(2)\n"  # the reader is there by then
    f"for n in range({LINES}): print(time.time(), flush=True); time.sleep({PERIOD})"
)


@dataclass
class Delays:
    """Seconds from a line, which is the time at which it was printed, to its reader, both by the clock of this
    machine."""

    found: list[float] = field(default_factory=list)
    rest: bytes = b""

    def take(self, content: bytes) -> None:
        now = time.time()
        *lines, self.rest = (self.rest + content).split(b"\n")
        self.found += [now - float(line) for line in lines]


def main() -> None:
    with report.fresh_system(Plan()) as system, system.client() as client:
        client.wait(client.submit({"command": ["true"]}).ids, timeout=60)  # the pilot is there
        delays = sorted(follow(client, client.submit({"command": ["python3", "-c", PRINT]}).ids[0]))
    p95 = statistics.quantiles(delays, n=20)[-1]
    row = (len(delays), f"{statistics.median(delays):.2f}", f"{p95:.2f}", f"{delays[0]:.2f}", f"{delays[-1]:.2f}")
    heads = ("lines", "median", "p95", "least", "most")
    report.table("From a printed line to its reader (seconds)", heads, [row], "≤ 1 s")


def follow(client: Client, job: int) -> list[float]:
    """The delay of each line of its log, until that ends."""
    delays = Delays()
    for chunk in client.follow(job):
        delays.take(chunk)
    return delays.found


if __name__ == "__main__":
    main()
