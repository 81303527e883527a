"""Computing elements that are spoken to with a credential of the vault, over every store."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from central.app import Central
from central.configuration.elements import Batch, VaultName
from central.configuration.settings import Queue
from central.directors import asking
from central.elements.connections import Connections
from central.elements.credentialed import Credentialed, Held
from central.elements.kinds import credential_file
from central.elements.port import ComputingError, Listed, Submission, Trouble
from central.records import CredentialRow, Note
from central.store.port import Store
from central.trust.expiry import ALARM
from central.trust.seal import Key
from central.trust.vault import Vault

pytestmark = pytest.mark.anyio

NAME = VaultName("atlas", "ops", "grid", "bearer")
VAULT = Vault([Key("k1", bytes(32), 0.0)])
ONE = Submission("0" * 32, "true", "secret")


class Element:
    """Says what lay in the file when it was asked."""

    lag = 5.0

    def __init__(self, file: Path) -> None:
        self.file = file
        self.seen: list[str] = []

    async def submit(self, submissions: Sequence[Submission]) -> Mapping[str, str | ComputingError]:
        self.seen.append(self.file.read_text())
        return {one.stamp: "1" for one in submissions}

    async def listing(self) -> Sequence[Listed]:
        self.seen.append(self.file.read_text())
        return []

    async def cancel(self, references: Sequence[str]) -> Mapping[str, ComputingError]:
        return {}

    async def output(self, stamp: str, reference: str) -> bytes:
        return b"words"

    async def forget(self, stamp: str, reference: str) -> None:
        pass

    async def capacity(self) -> int | None:
        return 7

    async def close(self) -> None:
        pass

    def secret_file(self, stamp: str) -> str:
        return "secret"

    def work_base(self, stamp: str) -> str | None:
        return None

    def exit_file(self, stamp: str) -> str | None:
        return "exit"


class Scene:
    """A queue with its credential, at a time that the test sets."""

    def __init__(self, store: Store, file: Path) -> None:
        self.store = store
        self.file = file
        self.alarms: list[str] = []
        self.now = 0.0
        self.element = Element(file)
        held = Held(NAME, file, store, VAULT, self.alarms.append)
        self.credentialed = Credentialed(self.element, held, lambda: self.now)

    async def keep(self, token: str, expires: float | None = None, kind: str = "bearer") -> None:
        part = {"bearer": "token", "x509-proxy": "proxy"}[kind]
        row = VAULT.seal(CredentialRow("atlas", "ops", "grid", kind, (), expires, "", b""), {part: token})
        changed = await self.store.keep_credential(row, Note("ops", "set", "atlas", "ops", "grid"), 10)
        self.now = max(self.now, changed)


@pytest.fixture
def scene(store: Store, tmp_path: Path) -> Scene:
    return Scene(store, tmp_path / "private" / "queue")


async def test_it_lies_in_a_private_file_and_is_taken_up_anew(scene: Scene) -> None:
    """Each turn finds what the vault holds at that moment, in a file that nobody else reads."""
    await scene.keep("first-token")
    await scene.credentialed.listing()
    assert stat.S_IMODE(scene.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(scene.file.parent.stat().st_mode) == 0o700
    await scene.keep("second-token")
    assert await scene.credentialed.submit([ONE]) == {ONE.stamp: "1"}
    assert scene.element.seen == ["first-token", "second-token"]
    assert scene.alarms == ["", ""]
    await scene.credentialed.close()
    assert not scene.file.exists()


async def test_it_never_lies_in_the_file_of_another_queue(scene: Scene) -> None:
    """A queue whose name is that of another and a bit more keeps its own file."""
    scene.file.parent.mkdir(mode=0o700)
    other = scene.file.with_name(f"{scene.file.name}.new")
    other.write_text("of another")
    await scene.keep("first-token")
    await scene.credentialed.listing()
    assert other.read_text() == "of another"


async def test_an_end_is_an_alarm_before_it_is_a_failure(scene: Scene) -> None:
    """Long before its end the alarm names it; at its end nothing is asked, nothing submitted, and the file is gone."""
    await scene.keep("a-token-of-days", 0.0)
    began = scene.now
    end = began + 10 * ALARM
    await scene.keep("a-token-of-days", end)
    await scene.credentialed.listing()
    assert scene.alarms.pop() == ""
    scene.now = end - ALARM + 60
    await scene.credentialed.listing()
    assert "grid of ops (atlas) ends in 11h" in scene.alarms.pop()
    scene.now = end + 1
    with pytest.raises(ComputingError, match="grid of ops .atlas. has expired; .pilotage credential set") as caught:
        await scene.credentialed.listing()
    assert caught.value.trouble is Trouble.CREDENTIAL
    assert "has expired" in scene.alarms.pop()
    assert not scene.file.exists()
    refused = (await scene.credentialed.submit([ONE]))[ONE.stamp]
    assert isinstance(refused, ComputingError)
    assert refused.trouble is Trouble.CREDENTIAL
    assert len(scene.element.seen) == 2


async def test_one_that_is_not_there_or_of_another_kind(scene: Scene) -> None:
    """A credential that was removed, or is another thing than the settings say, is told and not used."""
    with pytest.raises(ComputingError, match="there is no credential grid of ops"):
        await scene.credentialed.listing()
    await scene.keep("-----BEGIN CERTIFICATE-----", kind="x509-proxy")
    with pytest.raises(ComputingError, match="is of the kind x509-proxy, expected bearer"):
        await scene.credentialed.listing()
    assert scene.element.seen == []


async def test_all_else_is_the_element_s_own(scene: Scene) -> None:
    """What is said of files, output and capacity is what the computing element says."""
    wrapped = scene.credentialed
    assert (wrapped.lag, await wrapped.capacity(), await wrapped.output("", "")) == (5.0, 7, b"words")
    assert (wrapped.secret_file(""), wrapped.work_base(""), wrapped.exit_file("")) == ("secret", None, "exit")


async def test_who_asks_beside_the_director_leaves_its_file_alone(scene: Scene, tmp_path: Path) -> None:
    """What an operator tries under a queue's name is asked with the credential that it names, which nobody else finds:
    neither the director of that queue, nor does its own get there."""
    pilots, programs = tmp_path / "pilots", tmp_path / "programs"
    programs.mkdir()
    (programs / "squeue").write_text(f'#!/bin/sh\ncat "$BEARER_TOKEN_FILE" >>{tmp_path}/seen\n')
    (programs / "squeue").chmod(0o700)
    batch = Batch(folder=str(tmp_path / "folder"), programs=str(programs))
    queue = Queue("grid", "here", kind="slurm", batch=batch, credential=NAME)
    directors = credential_file(queue, pilots)
    directors.parent.mkdir(parents=True)
    directors.write_text("of the director")
    await scene.keep("a-token")
    central = SimpleNamespace(
        folder=SimpleNamespace(pilots=pilots),
        settings=SimpleNamespace(service=SimpleNamespace(url="https://central.example")),
        store=scene.store,
        vault=VAULT,
        connections=Connections(),
        wall=lambda: scene.now,
        alarm=lambda queue, sentence: None,
    )
    assert "lists no pilots" in await asking.check(cast(Central, central), queue)
    assert (tmp_path / "seen").read_text() == "a-token"
    assert directors.read_text() == "of the director"
    assert list(directors.parent.iterdir()) == [directors]
