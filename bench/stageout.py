"""What bringing an output to a storage costs, against the tool that a user would call: `python -m bench.stageout`.

Every round does each of them once, in turn, with the same file and the same server: the pilot's delivery (its digests
taken, stored under another name, compared, renamed), and curl or xrdcp, which store it and compare nothing unless told
to. Servers are those of the lanes xrootd and s3, where these can be set up, and a plain one of this bench's.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import report
from pilot.destination import target_of
from pilot.destinations.port import Errand, Source, digests_of
from pilot.destinations.storages import Storages
from tests.integration.faulty_storage import storing
from tests.integration.https import make_authority
from tests.pilot_fakes import shell
from tests.real.storage_scene import LANES

ROUNDS = 5
SIZE = 500_000_000
SMALL = 300


@dataclass(frozen=True)
class Cost:
    """Of one way to store one file, or many."""

    wall: float  # seconds
    cpu: float  # seconds, of this process and what it started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--size", type=int, default=SIZE, metavar="BYTES")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pilotage-bench-") as folder:
        place = Path(folder)
        file = place / "output"
        _random(file, arguments.size)
        _xrootd(place, file, arguments.rounds)
        _plain(place, file, arguments.rounds)


def _xrootd(place: Path, file: Path, rounds: int) -> None:
    started = subprocess.run(["tests/real/xrootd.sh", "start"], capture_output=True, text=True, check=False)
    if started.returncode:
        print(f"XRootD is left out: {started.stdout.strip().splitlines()[-1]}")
        return
    try:
        server = LANES / "xrootd"
        door = f"localhost:{(server / 'port').read_text().strip()}"
        certificates = str(server / "certs" / "ca.pem")
        os.environ["SSL_CERT_FILE"] = certificates
        curl = ["curl", "-sf", "--cacert", certificates, "-T", str(file), f"https://{door}/data/curl"]
        copy = ["xrdcp", "--nopbar", "--silent", "--force", str(file), f"root://{door}//data/xrdcp"]
        ways = {
            "curl, https": lambda: _run(curl),
            "pilot, davs": lambda: _put([file], f"davs://{door}/data/davs"),
            "xrdcp": lambda: _run(copy),
            "xrdcp with --cksum": lambda: _run([*copy[:3], "--cksum", "adler32", *copy[3:]]),
            "pilot, root": lambda: _put([file], f"root://{door}//data/root"),
        }
        _show(f"One output of {file.stat().st_size / 1e6:.0f} MB to XRootD ({rounds} times)", ways, rounds)
    finally:
        subprocess.run(["tests/real/xrootd.sh", "stop"], check=True)


def _plain(place: Path, file: Path, rounds: int) -> None:
    """A server in Python is slow: what is compared is small files, one after another, over one connection."""
    authority = make_authority(place)
    trusted = place / "ca.pem"
    trusted.write_text(authority.ca_pem)
    os.environ["SSL_CERT_FILE"] = str(trusted)
    small = place / "small"
    small.mkdir()
    for number in range(SMALL):
        (small / f"{number}.txt").write_text(f"{number}\n")
    lines = sorted(small.iterdir())
    with storing(authority) as storage:
        curl = ["curl", "-sf", "--cacert", str(trusted), "-T", f"{{{','.join(file.name for file in lines)}}}"]
        ways = {
            "curl, one process": lambda: _run([*curl, f"{storage.url}/curl/"], small),
            "pilot, https": lambda: _put(lines, f"{storage.url}/https/"),
            "pilot, davs": lambda: _put(lines, storage.url.replace("https", "davs") + "/davs/"),
        }
        _show(f"{SMALL} outputs of a line each, one after another ({rounds} times)", ways, rounds)


def _show(title: str, ways: Mapping[str, Callable[[], None]], rounds: int) -> None:
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            with _measured() as found:
                way()
            costs[name] += found
    rows = []
    for name, found in costs.items():
        walls = [cost.wall for cost in found]
        cpu = statistics.median(cost.cpu for cost in found)
        rows.append((name, *report.spread(walls), f"{cpu:.2f}"))
    report.table(title, ("what", "wall, s", "least", "most", "CPU, s"), rows)


@contextmanager
def _measured() -> Iterator[list[Cost]]:
    found: list[Cost] = []
    before, began = _cpu(), time.monotonic()
    yield found
    found.append(Cost(time.monotonic() - began, _cpu() - before))


def _cpu() -> float:
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)


def _put(files: Iterable[Path], url: str) -> None:
    """One after another, as one pilot does it."""
    storages = Storages(os.environ)
    errand = Errand(shell(1, "true"), lambda seconds: False)
    try:
        for file in files:
            target = target_of(url, 1, 1, file.name)
            storages.of(target.kind).put(Source(file, digests_of(file, None)), target, errand)
    finally:
        storages.close()


def _run(words: list[str], folder: Path | None = None) -> None:
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, cwd=folder)


def _random(path: Path, size: int) -> None:
    with path.open("wb") as file:
        left = size
        while left:
            block = os.urandom(min(left, 1 << 24))
            file.write(block)
            left -= len(block)


if __name__ == "__main__":
    main()
