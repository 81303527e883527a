"""What is asked of xrdcp, and with which rights: a program in its place writes down how it was called."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilot.destination import source_of, target_of
from pilot.destinations.port import Errand, Rejected, Source, Unavailable, digests_of
from pilot.destinations.xrootd import XrootdStorage
from pilot.errors import TransportError
from pilot.payloads.slot_users import SlotUser
from pilot.persist import Stopped
from pilot.protocol import Credential
from tests.pilot_fakes import shell

CLIENT = """#!/bin/sh
{
    echo "$(basename "$0") $*"
    echo "uid $(id -u)"
    env | grep -v '^PWD='
    [ -z "$BEARER_TOKEN_FILE" ] || { stat -c 'token %a %u' "$BEARER_TOKEN_FILE"; cat "$BEARER_TOKEN_FILE"; echo; }
} >> HERE/called
[ ! -e HERE/says ] || { cat HERE/says >&2; exit 54; }
[ ! -e HERE/hangs ] || exec sleep 60
case "$*" in *" -") printf content ;; esac
"""


@pytest.fixture
def node() -> Iterator[Path]:
    """A place that other users can get to, with the programs in it."""
    node = Path(tempfile.mkdtemp(prefix="pilotage-xrootd-"))
    node.chmod(0o755)
    (node / "called").write_text("")
    (node / "called").chmod(0o666)
    for name in ("xrdcp", "xrdfs"):
        (node / name).write_text(CLIENT.replace("HERE", str(node)))
        (node / name).chmod(0o755)
    (node / "output").write_text("content")
    yield node
    shutil.rmtree(node)


def storage(node: Path) -> XrootdStorage:
    secrets = {"PATH": f"{node}:{os.environ['PATH']}", "X509_CERT_DIR": "/certificates", "A_SECRET": "of the pilot"}
    return XrootdStorage(secrets)


def errand(node: Path, **more: object) -> Errand:
    lease = shell(7, "true")
    mine = Credential("mine", "bearer", {"token": "secret-token"}, ("root://se.example/",))
    lease = type(lease)(**{**vars(lease), "credentials": (mine,)})
    return Errand(lease, **{"pause": lambda seconds: time.sleep(seconds), "aside": node, **more})  # type: ignore[arg-type]


def put(node: Path, at: str = "root://se.example//data/", **more: object) -> list[str]:
    source = Source(node / "output", digests_of(node / "output", None))
    storage(node).put(source, target_of(at, 7, 1, "output"), errand(node, **more))
    return (node / "called").read_text().splitlines()


def test_an_upload(node: Path) -> None:
    """A file is copied under a name of its own with its checksum asked for, and then moved."""
    called = put(node)
    checksum = digests_of(node / "output", None).adler32
    assert called[0] == (
        f"xrdcp --nopbar --silent --force --path --cksum adler32:{checksum} {node}/output"
        " root://se.example//data/.output.7.1.part"
    )
    assert "xrdfs se.example mv /data/.output.7.1.part /data/output" in called


def test_a_token_is_in_a_file_for_a_while(node: Path) -> None:
    """The job's token is in a file of the one who needs it, in no argument and no variable, and gone afterwards."""
    called = put(node)
    assert f"token 600 {os.getuid()}" in called
    assert called.count("secret-token") == 2
    assert not [line for line in called if "secret-token" in line and line != "secret-token"]
    assert not [line for line in called if line.startswith("A_SECRET")]
    assert "X509_CERT_DIR=/certificates" in called
    assert list(node.glob("token-*")) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start programs as other users")
def test_it_runs_as_the_payloads_user(node: Path) -> None:
    """A pilot that is root lends the client nothing of that."""
    (node / "output").chmod(0o644)
    called = put(node, owner=SlotUser("slot", 29_011, 29_011))
    assert "uid 29011" in called
    assert "uid 0" not in called
    assert "token 600 29011" in called


def test_a_token_goes_nowhere_else(node: Path) -> None:
    """Another server does not get it."""
    called = put(node, "root://other.example//data/")
    assert "secret-token" not in called


def test_a_download(node: Path) -> None:
    """An input comes by way of a pipe."""
    blocks: list[bytes] = []
    storage(node).get(source_of("root://se.example//data/in"), blocks.append, errand(node))
    assert b"".join(blocks) == b"content"


@pytest.mark.parametrize(
    ("says", "error"),
    [
        ("Run: [ERROR] Server responded with an error: [3010] Permission denied", Rejected),
        ("Run: [ERROR] Server responded with an error: [3009] No space left on device", Unavailable),
        ("Run: [FATAL] Auth failed", Rejected),
        ("Run: [FATAL] Connection error", TransportError),
        ("Run: [ERROR] CheckSum error", TransportError),
    ],
)
def test_what_it_says(node: Path, says: str, error: type[Exception]) -> None:
    """Its words tell whether to try again, later, or never there."""
    (node / "says").write_text(f"something else\n{says}\n\n")
    with pytest.raises(error) as caught:
        put(node)
    assert type(caught.value) is error or error is Rejected
    assert says in str(caught.value)


def test_one_that_hangs_is_ended(node: Path) -> None:
    """When the attempt must end the client is ended too."""
    (node / "hangs").touch()
    end = time.monotonic() + 0.5

    def pause(seconds: float) -> bool:
        time.sleep(seconds)
        return time.monotonic() > end

    began = time.monotonic()
    with pytest.raises(Stopped):
        put(node, pause=pause)
    assert time.monotonic() - began < 30


def test_a_node_without_the_client(node: Path) -> None:
    """It is told, and is final for this destination."""
    (node / "xrdcp").unlink()
    with pytest.raises(Rejected, match="this node has no xrdcp"):
        XrootdStorage({"PATH": str(node)}).get(source_of("root://h//x"), print, errand(node))
