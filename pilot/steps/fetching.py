"""Brings bundles to the node, from whichever central has them, verified before anything opens them."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Callable

from pilot import bundles
from pilot.backoff import Backoff
from pilot.bundles import Manifest
from pilot.errors import PilotageError, TransportError
from pilot.protocol import Bundle

if TYPE_CHECKING:
    from pilot.transport import Transport  # heavy, and most pilots fetch nothing

#: Seconds for one attempt at one address: less than an agent may be silent for.
TIMEOUT = 30.0


@dataclass(frozen=True)
class Source:
    """Where bundles are asked for. `tick` is called before each request, since each may take a while."""

    centrals: Sequence[str]
    transport: Transport
    tick: Callable[[], None] = field(default=lambda: None)


def fetch(
    bundle: Bundle,
    source: Source,
    folder: Path,
    pause: Callable[[float], bool],
    random: Callable[[], float],
) -> tuple[Path, Manifest]:
    """The bundle as a file, and what it says of itself. `pause` waits so many seconds, and says whether to give up.

    Raises `PilotageError` with the reason when it cannot be had, or is not what was to come.
    """
    content = _persistently(bundle, lambda: _content(bundle, source), pause, Backoff(random))
    manifest = bundles.read(content)
    if manifest.name != bundle.name:
        raise PilotageError(f"expected the bundle {bundle.name}, got one that calls itself {manifest.name}")
    folder.mkdir(exist_ok=True)
    folder.chmod(0o711)  # its commands may run as another user
    path = folder / f"{bundle.sha256}.zip"
    handle, aside = tempfile.mkstemp(dir=folder)  # other agents of this pilot may be at it, too
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    os.chmod(aside, 0o644)  # whoever runs its commands reads it
    os.replace(aside, path)
    return path, manifest


def verify(path: Path, sha256: str) -> None:
    """Raises `PilotageError` unless the file still is what was fetched."""
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise PilotageError(f"{path} was changed since it was fetched: its SHA-256 is not {sha256}")


def _persistently(
    bundle: Bundle, content: Callable[[], bytes], pause: Callable[[float], bool], backoff: Backoff
) -> bytes:
    while True:
        try:
            return content()
        except TransportError as problem:  # noqa: PERF203 - it is tried again
            if pause(backoff.failed()):
                raise PilotageError(f"the bundle {bundle.name} cannot be fetched: {problem}") from problem


def _content(bundle: Bundle, source: Source) -> bytes:
    """From the first address that has the right bytes; a wrong answer of one is passed over like none."""
    problem = "no address is known for it"
    for url in _addresses(bundle, source.centrals):
        source.tick()
        try:
            response = source.transport.send("GET", url, {}, b"", TIMEOUT)
        except TransportError as error:
            problem = str(error)
            continue
        if response.status != 200:
            problem = f"{url} answers with status {response.status}"
            continue
        found = hashlib.sha256(response.body).hexdigest()
        if len(response.body) > bundles.MAX_SIZE or found != bundle.sha256:
            problem = f"{url} gives {len(response.body)} bytes with the SHA-256 {found}, expected {bundle.sha256}"
            continue
        return response.body
    raise TransportError(problem)


def _addresses(bundle: Bundle, centrals: Sequence[str]) -> list[str]:
    found = []
    for url in bundle.urls:
        found += [central + url for central in centrals] if url.startswith("/") else [url]
    return [url for url in found if url.startswith("https://")]
