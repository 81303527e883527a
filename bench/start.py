"""How long after its start a pilot asks its first request, and has its first match: `python -m bench.start`."""

from __future__ import annotations

import subprocess
import sys
import time

from bench import report
from tests.system import Plan, wait_for

RUNS = 3


def main() -> None:
    requests, matches = [], []
    for _ in range(RUNS):
        request, match = first_request_and_match()
        requests.append(request)
        matches.append(match)
    imports = [import_of_requests() for _ in range(RUNS)]
    rows = [
        ("monitor's process to enrolled", *report.spread(requests)),
        ("monitor's process to first match", *report.spread(matches)),
        ("python3 -c 'import requests', for comparison", *report.spread(imports)),
    ]
    report.table(f"Start of a pilot (seconds, {RUNS} runs)", ("", "median", "least", "most"), rows, "first match ≤ 2 s")


def first_request_and_match() -> tuple[float, float]:
    """Seconds from the start of the monitor's process; a job waits already, the pilot's directory is new."""
    with report.fresh_system(Plan()) as system, system.client() as client:
        job = client.submit({"command": ["true"]}).ids[0]
        client.wait([job], timeout=60)
        attempt = client.attempts(job)[0]
        begun = report.started(wait_for(lambda: system.monitors(attempt.pilot), 10, "the monitor")[0])
        enrolled = client.pilot(attempt.pilot).pilot.enrolled
        assert enrolled
        return enrolled - begun, attempt.started - begun


def import_of_requests() -> float:
    before = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import requests"], check=True)
    return time.perf_counter() - before


if __name__ == "__main__":
    main()
