"""The environment of a payload: little of the pilot's, what was prepared, what it was granted, what its job says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pilot.attempts.directory import AttemptDirectory
from pilot.attempts.slots import Slot
from pilot.protocol import Lease

#: What is taken over from the pilot's environment. Everything else stays outside: it may hold somebody's secrets.
INHERITED = (
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "USER",
    "LOGNAME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "X509_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
)
#: Libraries that would start a thread for each core of the machine, were they not told how many there are for them.
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "JULIA_NUM_THREADS",
    "GOMAXPROCS",
)
TOKEN_FILE = "PILOTAGE_JOB_TOKEN_FILE"
PATH = "/usr/local/bin:/usr/bin:/bin"


def payload_environment(
    host: Mapping[str, str], prepared: Mapping[str, str], lease: Lease, slot: Slot, place: AttemptDirectory
) -> dict[str, str]:
    """All of it. The job's own variables win over everything but what tells the payload who it is."""
    environment = {"PATH": PATH}
    # A proxy's address may carry a password.
    environment.update({name: host[name] for name in INHERITED if name in host and "@" not in host[name]})
    if place.owner is not None:
        environment.update({"USER": place.owner.name, "LOGNAME": place.owner.name})
    environment.update(prepared)
    environment.update({name: str(slot.cores) for name in THREADS})
    environment.update({"HOME": str(place.home), "TMPDIR": str(place.temporary), "PWD": str(place.job)})
    environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpu.handle for gpu in slot.gpus)  # none granted: none is seen
    environment.update(lease.spec.environment)
    environment.update(identity(lease, slot, place))
    return environment


def identity(lease: Lease, slot: Slot, place: AttemptDirectory) -> dict[str, str]:
    """Which attempt this is, and what it was granted."""
    told = {
        "PILOTAGE_JOB": str(lease.job),
        "PILOTAGE_ATTEMPT": str(lease.attempt),
        "PILOTAGE_CORES": str(slot.cores),
        "PILOTAGE_WALL_TIME": str(lease.spec.needs.wall_time),
        TOKEN_FILE: str(place.token),
        "PILOTAGE_DEADLINE_FILE": str(place.deadline),
        "PILOTAGE_GRANT_FILE": str(place.grant),
    }
    if lease.credentials:
        told["PILOTAGE_CREDENTIALS"] = str(place.credentials)
    if slot.memory:
        told["PILOTAGE_MEMORY"] = str(slot.memory)
    if slot.disk:
        told["PILOTAGE_DISK"] = str(slot.disk)
    return told


def marker(token: Path) -> str:
    """The one variable by which a stray process is told to its attempt: no other attempt has this path."""
    return f"{TOKEN_FILE}={token}"
