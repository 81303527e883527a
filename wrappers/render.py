"""Renders `wrapper.sh` for one pilot: what a batch system runs, as one text.

The wrapper makes its work directory, finds a Python, fetches `pilot.pyz` from the first URL that gives the right
SHA-256, writes the pilot's configuration and starts

    python3 -I pilot.pyz run --config pilot.json

in the work directory; it passes SIGTERM, SIGINT, SIGHUP, SIGUSR1 and SIGUSR2 on, waits, and exits as the pilot did.
The pilot's standard output is the wrapper's; its standard error goes to the file `pilot.stderr` and is repeated by the
wrapper (the last 16 KiB) when the pilot has ended, because a pilot that cannot start has nobody else to say why.

Exit codes, besides the pilot's own (`pilot.errors.ExitCode`, all below 90) and 128 + N where signal N killed it:

    90  no Python 3.9 or newer with ssl and zlib was found
    91  pilot.pyz could not be fetched from any URL
    92  what was fetched does not have the SHA-256 that was asked for; it was removed unopened
    93  the work directory cannot be made or written to, or this stamp has run there before and left no session
    94  a signal came before the pilot was started

In the work directory, `WORK_BASE/STAMP`, mode 0700:

    boot.log     what the wrapper said; the same goes to its standard output
    pilot.json   the pilot's configuration, see `Bootstrap`
    ticket       the ticket for the boot log
    ca.pem       the CA's certificates, empty where the system's are trusted
    pilot.pyz    only once its digest was right
    enrolled     made by the monitor when it has enrolled: from then on it ships boot.log. Without this file the wrapper
                 sends what it said to the central itself when it ends
    session      what a pilot that was killed goes on from: the wrapper starts it again, at most three times; a wrapper
                 that finds one of this user's in the place takes it up
    spool/       what the pilot could not deliver; any file in it keeps the work directory from being removed

Nodes without a way to the outside: `proxy` is exported as HTTPS_PROXY and `no_proxy` as NO_PROXY, in both spellings,
for the wrapper's own requests, for the pilot and for what the pilot starts. TLS goes through it from end to end.

The script carries the ticket: write it with mode 0600 or 0700. The one-time secret is never in it.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pilot.errors import InvalidInput

HERE = Path(__file__).parent
PYTHONS = (
    *("python3", "python3.13", "python3.12", "python3.11", "python3.10", "python3.9"),
    "/usr/bin/python3",
)


@dataclass(frozen=True)
class Bootstrap:
    """All that a wrapper has to know about its pilot. URLs are tried in order; paths are paths on the node."""

    stamp: str  # 32 hex digits
    urls: Sequence[str]  # of pilot.pyz; http is good enough where the digest comes by a safer way, as it does here
    sha256: str  # of pilot.pyz
    central: Sequence[str]  # base URLs, as https://central.example:8443
    ticket: str  # for the boot log, until the pilot has enrolled; empty: before that the log stays where it is
    secret_file: str  # holds the one-time secret, mode 0600; relative to where the wrapper is started
    site: str
    queue: str
    ca_pem: str = ""  # certificates that all these URLs are checked with; empty: those of the system
    work_base: str = ""  # empty: the batch system's scratch directory, else where the wrapper is started
    proxy: str = ""  # by which the node reaches the outside, http://HOST:PORT; empty: as the node's environment says
    no_proxy: Sequence[str] = ()  # hosts and domains that are reached without it; empty: as the environment says
    settings: Mapping[str, object] = field(default_factory=dict)  # further keys of pilot.json
    keep_work: bool = False  # leave the work directory behind, to look at
    exit_file: str = ""  # where to write the exit code in the end; for a batch system that cannot tell it
    pythons: Sequence[str] = PYTHONS  # candidates, in order: names or paths
    pause: int = 5  # seconds between two tries


def render(bootstrap: Bootstrap) -> str:
    """The script. Raises `InvalidInput` where a value could not be carried or would not work on any node."""
    _check(bootstrap)
    # The here-documents are safe: no line of a checked ticket, a PEM text or one line of JSON can be their end.
    values = {
        "stamp": quoted(bootstrap.stamp),
        "sha256": quoted(bootstrap.sha256),
        "pause": quoted(str(bootstrap.pause)),
        "work_base": quoted(bootstrap.work_base.rstrip("/") or bootstrap.work_base[:1]),
        "exports": _exports(bootstrap),
        "keep_work": quoted("yes" if bootstrap.keep_work else ""),
        "exit_file": quoted(bootstrap.exit_file),
        "helper": quoted((HERE / "carried.py").read_text(encoding="utf-8")),
        "urls": " ".join(map(quoted, bootstrap.urls)),
        "central": " ".join(quoted(url.rstrip("/")) for url in bootstrap.central),
        "pythons": " ".join(map(quoted, bootstrap.pythons)),
        "ticket": bootstrap.ticket,
        "ca": bootstrap.ca_pem.strip(),
        "config": json.dumps(configuration(bootstrap), allow_nan=False),
    }
    template = (HERE / "wrapper.sh").read_text(encoding="utf-8")
    # One pass: what looks like a marker inside a value stays what it is.
    return re.sub(r"@([a-z0-9_]+)@", lambda marker: values[marker[1]], template)


def configuration(bootstrap: Bootstrap) -> dict[str, object]:
    """`pilot.json` before the node makes its paths absolute: relative ones are in the work directory."""
    return {
        "version": 1,
        "stamp": bootstrap.stamp,
        "central": [url.rstrip("/") for url in bootstrap.central],
        "ca": "ca.pem" if bootstrap.ca_pem else None,
        "secret_file": bootstrap.secret_file,
        "ticket_file": "ticket",
        "site": bootstrap.site,
        "queue": bootstrap.queue,
        "work": ".",
        "boot_log": "boot.log",
        "keep_work": bootstrap.keep_work,
        **bootstrap.settings,
    }


def quoted(value: str) -> str:
    """One word of the shell that means exactly this text. Raises `InvalidInput` for what no shell variable can hold."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidInput("", f"expected text that UTF-8 can say, got {value!r}") from error
    if "\0" in value:
        raise InvalidInput("", f"expected a text without a zero byte, got {value!r}")
    return shlex.quote(value)


def _exports(bootstrap: Bootstrap) -> str:
    """What the wrapper and all that it starts find in their environment, in both spellings that programs read."""
    told = {"https_proxy": bootstrap.proxy, "no_proxy": ",".join(bootstrap.no_proxy)}
    words = [f"{name}={quoted(value)}" for key, value in told.items() if value for name in (key, key.upper())]
    return " ".join(("export", *words)) if words else ":"


#: A proxy without a user and password: what a wrapper says may be read by others.
PROXY = r"http://([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}/?"
#: A host, a domain or an address: what curl, Python and requests all understand alike. They do not of networks.
NO_PROXY = r"[A-Za-z0-9._:-]{1,253}"
CERTIFICATES = re.compile(r"(\s*-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+\n-----END CERTIFICATE-----\s*)*")


def _check(bootstrap: Bootstrap) -> None:
    _expect("stamp", bootstrap.stamp, r"[0-9a-f]{32}", "32 hex digits")
    _expect("sha256", bootstrap.sha256, r"[0-9a-f]{64}", "64 hex digits")
    _expect("ticket", bootstrap.ticket, r"[A-Za-z0-9._~+/=-]{0,4096}", "a ticket, as HTTP allows it in a header")
    _expect("secret_file", bootstrap.secret_file, r"(?s).+", "a path")
    _expect("pause", str(bootstrap.pause), r"[0-9]{1,4}", "seconds, 0 to 9999")
    if not CERTIFICATES.fullmatch(bootstrap.ca_pem):
        raise InvalidInput("ca_pem", "expected certificates in PEM, and nothing else")
    for where, urls, pattern, expected in (
        ("urls", bootstrap.urls, r"https?://[!-~]+", "an http or https URL"),
        ("central", bootstrap.central, r"https://[!-~]+", "an https URL"),
    ):
        if not urls:
            raise InvalidInput(where, "expected at least one URL")
        for index, url in enumerate(urls):
            _expect(f"{where}[{index}]", url, pattern, expected)
    if bootstrap.proxy:
        _expect("proxy", bootstrap.proxy, PROXY, "http://HOST:PORT without a password")
    for index, host in enumerate(bootstrap.no_proxy):
        _expect(f"no_proxy[{index}]", host, NO_PROXY, "a host, a domain or an address")
    if not bootstrap.pythons:
        raise InvalidInput("pythons", "expected at least one candidate")
    taken = sorted(configuration(replace(bootstrap, settings={})).keys() & bootstrap.settings.keys())
    if taken:
        raise InvalidInput("settings", f"{', '.join(taken)} cannot be set here")


def _expect(where: str, value: str, pattern: str, expected: str) -> None:
    if not re.fullmatch(pattern, value):
        shown = "something else" if where in ("ticket", "proxy") else repr(value)  # secrets are not for logs
        raise InvalidInput(where, f"expected {expected}, got {shown}")
