"""The stage on which a rendered wrapper is tried: a folder, a real HTTPS server, real shells, and a stand-in pilot."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.integration.https import Authority, Request, Server, serving
from tests.patience import PATIENCE
from wrappers.render import Bootstrap, render

STAMP = "0123456789abcdef" * 2
TICKET = "dGhlLXRpY2tldA.c2VhbGVk"
#: Those that are here, each once: sh is dash or bash on most machines.
SHELLS = list(
    {
        (os.path.realpath(found), *shell[1:]): shell
        for shell in (("dash",), ("bash",), ("bash", "--posix"), ("busybox", "sh"), ("sh",))
        if (found := shutil.which(shell[0]))
    }.values()
)

# What stands in for pilot.pyz: it does what the key "then" of pilot.json says.
STAND_IN = """
import json, os, signal, sys, time
config = json.load(open("pilot.json"))
seen = []
for name in ("TERM", "INT", "HUP", "USR1", "USR2"):
    signal.signal(getattr(signal, "SIG" + name), lambda number, frame: seen.append(signal.Signals(number).name))
json.dump({"argv": sys.argv, "isolated": sys.flags.isolated, "config": config, "environment": dict(os.environ),
           "cwd": os.getcwd()}, open(os.path.join(config["report"], "started.part"), "w"))
os.rename(os.path.join(config["report"], "started.part"), os.path.join(config["report"], "started"))
print("the pilot speaks", flush=True)
exec(config["then"])
"""


def stand_in() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("__main__.py", STAND_IN)
    return packed.getvalue()


PYZ = stand_in()


@dataclass
class Scene:
    """A folder, a server with the right file under /pilot.pyz, and a bootstrap that finds it."""

    folder: Path
    server: Server
    bootstrap: Bootstrap

    @property
    def work(self) -> Path:
        return self.folder / "work" / STAMP

    @property
    def started(self) -> dict[str, object] | None:
        """What the stand-in reported, None if it was never started."""
        report = self.folder / "started"
        return json.loads(report.read_text()) if report.exists() else None

    def then(self, code: str, **change: object) -> None:
        """What the stand-in is to do, and changes to the bootstrap."""
        settings = {"then": code, "report": str(self.folder)}
        self.bootstrap = replace(self.bootstrap, settings=settings, **change)  # type: ignore[arg-type]

    def start(self, *shell: str, **environment: str) -> subprocess.Popen[bytes]:
        script = self.folder / "wrapper.sh"
        script.write_text(render(self.bootstrap))
        script.chmod(0o600)
        return subprocess.Popen(
            [*(shell or SHELLS[0]), str(script)],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, *shell: str, **environment: str) -> tuple[int, str]:
        """Exit code, and what was printed."""
        with self.start(*shell, **environment) as process:
            printed = process.communicate(timeout=60)[0].decode()
        return process.returncode, printed

    def told(self) -> Request:
        """The one boot log that the central got."""
        (request,) = self.server.puts()
        assert request.path == f"/v1/logs/{STAMP}/boot?offset=0"
        assert request.headers["Authorization"] == f"Ticket {TICKET}"
        return request


@contextmanager
def set_up(folder: Path, authority: Authority) -> Iterator[Scene]:
    """A scene in which everything would go well."""
    with serving(authority) as server:
        server.files["/pilot.pyz"] = PYZ
        bootstrap = Bootstrap(
            stamp=STAMP,
            urls=(f"{server.url}/pilot.pyz",),
            sha256=hashlib.sha256(PYZ).hexdigest(),
            central=(server.url,),
            ticket=TICKET,
            secret_file="secret",
            site="here",
            queue="local",
            ca_pem=authority.ca_pem,
            work_base=str(folder / "work"),
            pythons=(sys.executable,),
            pause=0,
        )
        scene = Scene(folder, server, bootstrap)
        scene.then("sys.exit(0)")
        yield scene


def dead_url() -> str:
    """A URL where nobody listens: the port was just given back."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"https://127.0.0.1:{free.getsockname()[1]}"


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    until = time.monotonic() + PATIENCE * seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


def tools(scene: Scene, *, without: str = "", recording: str = "") -> str:
    """A PATH with the machine's tools but one, or with one that notes its arguments in the file `calls` first."""
    folder = scene.folder / "bin"
    folder.mkdir()
    for name in ("sh", "cat", "sed", "mkdir", "rm", "mv", "find", "date", "uname", "sleep", "tail", "curl"):
        real = shutil.which(name)
        assert real is not None
        if name == recording:
            (folder / name).write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >>{scene.folder}/calls\nexec {real} "$@"\n')
            (folder / name).chmod(0o700)
        elif name != without:
            (folder / name).symlink_to(real)
    return str(folder)
