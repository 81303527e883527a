"""The files of jobs on their way: from here to the sandbox store and back, each checked by its SHA-256."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import requests

from pilot.errors import PilotageError, TransportError
from pilot.jobfile import relative_path
from pilot.protocol import OutputFile
from pilot.views import SandboxReply
from pilotage.transport import Request, Transport

#: Bytes of one request; larger files go in parts of this size, so that a broken connection costs one part.
PART = 16 * 1024 * 1024
BLOCK = 256 * 1024
#: Files under way at the same time: what hides the latency of small ones.
AT_ONCE = 4
#: Downloads that break off are resumed so often without a byte in between.
ATTEMPTS = 5
#: Files that a refusal to replace some names.
MOST_NAMED = 3

#: Told as files move: bytes done, bytes in all.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class LocalFile:
    """A file here that jobs need there."""

    path: Path
    sha256: str
    size: int  # bytes


@dataclass(frozen=True)
class Fetched:
    """What `fetch` brought: files here, files that are elsewhere, and what never left the node."""

    files: tuple[Path, ...]
    elsewhere: tuple[OutputFile, ...] = ()
    undelivered: tuple[str, ...] = ()


def digest(path: Path) -> LocalFile:
    """Read a file for its size and SHA-256."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return LocalFile(path, sha256, os.fstat(file.fileno()).st_size)


def upload(transport: Transport, files: list[LocalFile], progress: Progress | None) -> int:
    """Send what the central does not have, equal files once. Returns how many were sent."""
    unique = list({file.sha256: file for file in files}.values())
    total = sum(file.size for file in unique)
    done = sent = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            for file, was_sent in zip(unique, pool.map(lambda one: _send(transport, one), unique), strict=True):
                done += file.size
                sent += was_sent
                if progress:
                    progress(done, total)
        except BaseException:  # what is not sent yet is not sent, whatever happened
            pool.shutdown(cancel_futures=True)
            raise
    return sent


def _send(transport: Transport, file: LocalFile) -> bool:
    """Send one file unless it is there. Raises `PilotageError` when it changed since its digest was taken."""
    path = f"/v1/sandboxes/{file.sha256}"
    there = transport.send(Request("HEAD", path, accepted=(404,)))
    if there.status_code != 404:
        return False
    with file.path.open("rb") as content:
        if file.size <= PART:
            body = content.read(PART + 1)
            if hashlib.sha256(body).hexdigest() != file.sha256:
                raise PilotageError(f"{file.path} changed while it was being submitted; submit again.")
            transport.ask(SandboxReply, Request("PUT", path, body=body))
        else:
            _send_parts(transport, path, file, content, int(there.headers.get("Pilotage-Next", 0)))
    return True


def _send_parts(transport: Transport, path: str, file: LocalFile, content: BinaryIO, offset: int) -> None:
    while offset < file.size:
        content.seek(offset)
        query = {"offset": offset, "size": file.size}
        reply = transport.ask(SandboxReply, Request("PUT", path, query, content.read(PART)))
        if reply.next <= offset:
            raise PilotageError(f"{file.path} cannot be sent: the central stays at byte {offset} of {file.size}.")
        offset = reply.next


def place(folder: Path, name: str) -> Path:
    """Where a file of that name belongs in a folder, whose subfolders are made. Raises `PilotageError` when outside."""
    target = folder / relative_path(name, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.parent.resolve().is_relative_to(folder.resolve()):
        raise PilotageError(f"{target} is not inside {folder}: a link leads out of it. Choose another folder.")
    if target.is_dir():
        raise PilotageError(f"{target} is a folder where the file {name} should go. Choose another folder.")
    return target


def spare(files: Sequence[OutputFile], targets: Sequence[Path]) -> None:
    """Raises `PilotageError` when something else is in the place of a file."""
    taken = [
        str(target)
        for file, target in zip(files, targets, strict=True)
        if os.path.lexists(target) and not _is_there(file, target)
    ]
    if taken:
        more = f" and {len(taken) - MOST_NAMED:,} more" if len(taken) > MOST_NAMED else ""
        raise PilotageError(
            f"Nothing is fetched: in its place there is something else, {', '.join(taken[:MOST_NAMED])}{more}. Choose"
            " another folder, or say --force to replace it."
        )


def _is_there(file: OutputFile, target: Path) -> bool:
    if not target.is_file() or target.is_symlink() or target.stat().st_size != file.size:
        return False
    return digest(target).sha256 == file.sha256


def download(transport: Transport, file: OutputFile, target: Path) -> None:
    """Put a file into its place when all of it has come and its digest fits; what is there already stays."""
    if _is_there(file, target):
        return
    aside = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}")
    try:
        with aside.open("xb") as content:
            _receive(transport, file, content)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


def _receive(transport: Transport, file: OutputFile, content: BinaryIO) -> None:
    """All bytes of a file, taken up again where the connection broke off. Raises `PilotageError` on a wrong digest."""
    hasher = hashlib.sha256()
    offset = failures = 0
    while offset < file.size:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        request = Request("GET", f"/v1/sandboxes/{file.sha256}", headers=headers, streamed=True)
        try:
            with transport.send(request) as answer:
                if offset and answer.status_code != 206:
                    raise PilotageError(f"{file.name}: the central does not resume at byte {offset}; fetch it again.")
                for block in answer.iter_content(BLOCK):
                    content.write(block)
                    hasher.update(block)
                    offset += len(block)
                    failures = 0
        except requests.RequestException as error:
            failures += 1
            if failures >= ATTEMPTS:
                raise transport.broken_off(error) from error
            transport.pause(failures)
        else:
            if offset < file.size:
                raise TransportError(f"{file.name}: {offset} of {file.size} bytes came; fetch it again.")
    if offset != file.size or hasher.hexdigest() != file.sha256:
        raise PilotageError(f"{file.name}: what came is not what the job wrote (its SHA-256 differs); fetch it again.")
