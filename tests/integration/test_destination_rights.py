"""With whose rights files are read and written: the payload's user's, and no more than its container sees."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pilot.attempts.containment import Containment
from pilot.binds import Bind
from pilot.destination import source_of, target_of
from pilot.destinations.local import LocalStorage
from pilot.destinations.port import Errand, Rejected, Source, digests_of
from pilot.payloads.slot_users import users_of
from pilot.protocol import AttemptReport, OutputRule, UrlInput
from pilot.states import Outcome
from tests.integration.faulty_storage import storing
from tests.integration.https import make_authority
from tests.integration.pool_bench import PoolBench, pool_bench
from tests.pilot_fakes import shell

USER = 29_010
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start payloads as other users")


@pytest.fixture
def place() -> Iterator[Path]:
    """Where other users can get to, which pytest's own folders are not."""
    place = Path(tempfile.mkdtemp(prefix="pilotage-rights-"))
    place.chmod(0o711)
    (place / "pilot").mkdir(mode=0o700)
    yield place
    shutil.rmtree(place)


@pytest.fixture
def bench(place: Path) -> Iterator[PoolBench]:
    with pool_bench(place / "pilot", Containment(users_of(f"{USER}-{USER}"))) as bench:
        yield bench


def run(bench: PoolBench, script: str, job: int = 1, **fields: Any) -> AttemptReport:
    lease = shell(job, script)
    bench.pool.start(replace(lease, spec=replace(lease.spec, **fields)))
    report = bench.central.end_of(job)
    bench.wait_until_empty()  # there is one user
    return report


@as_root
def test_a_mounted_place_is_written_as_the_payloads_user(bench: PoolBench, place: Path) -> None:
    """A pilot that is root writes an output where its owner may, as that owner, and nowhere else."""
    (place / "open").mkdir()
    (place / "open").chmod(0o777)
    (place / "closed").mkdir(mode=0o755)
    rules = (OutputRule("a", (f"file://{place}/open/",)), OutputRule("b", (f"file://{place}/closed/",)))
    report = run(bench, "echo x > a; echo x > b", outputs=rules)
    assert (report.undelivered, [one.where for one in report.outputs][1:]) == ((), [("sandbox",)])
    assert "Permission denied" in report.message
    assert (place / "open" / "a").stat().st_uid == USER
    assert list((place / "closed").iterdir()) == []


@as_root
def test_a_mounted_place_is_read_as_the_payloads_user(bench: PoolBench, place: Path) -> None:
    """A file that only root may read is no input for anybody's job."""
    (place / "secret").write_text("root's")
    (place / "secret").chmod(0o600)
    (place / "public").write_text("for all")
    (place / "public").chmod(0o644)
    refused = run(bench, "cat in", urls=(UrlInput("in", f"file://{place}/secret"),))
    assert refused.outcome is Outcome.INPUT_ERROR
    assert "Permission denied" in refused.message
    allowed = run(bench, "cat in", job=2, urls=(UrlInput("in", f"file://{place}/public"),))
    assert allowed.outcome is Outcome.SUCCESS, allowed
    assert bench.printed(2) == "for all"


@as_root
def test_a_link_that_a_payload_left_leads_nowhere(
    bench: PoolBench, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An output that is a link to what its payload may not read is not sent away by a pilot that may."""
    (place / "secret").write_text("root's")
    (place / "secret").chmod(0o600)
    authority = make_authority(place)
    (place / "ca.pem").write_text(authority.ca_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(place / "ca.pem"))
    with storing(authority) as storage:
        rule = OutputRule("*", (f"{storage.url}/x/",))
        report = run(bench, f"ln -s {place}/secret out; mkfifo pipe; echo mine > fine", outputs=(rule,))
        assert [output.name for output in report.outputs] == ["fine"]
        assert list(storage.files) == ["/x/fine"]
        bench.pool.services.storages.close()
        bench.services.storages.close()


# -- in a container ---------------------------------------------------------------------------------------------------


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A node with a place that containers may write to, one that they see, and one that they do not."""
    for name in ("rw", "ro", "hidden"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "rw" / "out").symlink_to(tmp_path / "hidden")
    (tmp_path / "ro" / "out").symlink_to(tmp_path / "hidden" / "file")
    (tmp_path / "output").write_text("content")
    return tmp_path


def errand(node: Path) -> Errand:
    binds = (Bind(f"{node}/rw", "/rw", writable=True), Bind(f"{node}/ro", "/ro"))
    return Errand(shell(1, "true"), lambda seconds: False, seen=binds)


def put(node: Path, where: str) -> None:
    source = Source(node / "output", digests_of(node / "output", None))
    LocalStorage().put(source, target_of(f"file://{node}/{where}", 1, 1, "x"), errand(node))


@pytest.mark.parametrize("where", ["rw/x", "rw/new/folder/x"])
def test_where_a_container_may_write(node: Path, where: str) -> None:
    """An output of a contained payload goes to what is bound for it to write."""
    put(node, where)
    assert (node / where).read_text() == "content"


@pytest.mark.parametrize("where", ["ro/x", "hidden/x", "x", "rw/out/x", "rw/out/new/x", "rwx/x"])
def test_where_a_container_may_not_write(node: Path, where: str) -> None:
    """Nothing is written to the rest of the node for a contained payload, not by a link either, and no folder made."""
    before = sorted(str(path) for path in node.rglob("*"))
    with pytest.raises(Rejected):
        put(node, where)
    assert sorted(str(path) for path in node.rglob("*")) == before


@pytest.mark.parametrize(("where", "found"), [("rw/file", "rw"), ("ro/file", "ro"), ("hidden/file", ""),
                                              ("ro/out", ""), ("rw/out/file", "")])  # fmt: skip
def test_what_a_container_sees(node: Path, where: str, found: str) -> None:
    """An input of a contained payload comes from what it could read itself."""
    blocks: list[bytes] = []
    if found:
        LocalStorage().get(source_of(f"file://{node}/{where}"), blocks.append, errand(node))
        assert b"".join(blocks) == found.encode()
        return
    with pytest.raises(Rejected):
        LocalStorage().get(source_of(f"file://{node}/{where}"), blocks.append, errand(node))
    assert blocks == []
