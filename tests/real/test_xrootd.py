"""Outputs to and inputs from a real XRootD, by root:// and by davs://, with the checksums that it takes itself."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilot.states import Outcome
from tests.real.storage_scene import LANES, Scene, storage_scene

PLACE = LANES / "xrootd"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not (PLACE / "port").exists(), reason="what this needs is set up by the lane xrootd"),
]
DATA = PLACE / "root" / "data"


@pytest.fixture(scope="module")
def door() -> str:
    return f"localhost:{(PLACE / 'port').read_text().strip()}"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with storage_scene(tmp_path_factory.mktemp("xrootd"), PLACE / "certs" / "ca.pem") as scene:
        yield scene


def urls(door: str) -> dict[str, str]:
    return {"root": f"root://{door}//data", "davs": f"davs://{door}/data"}


@pytest.mark.parametrize("kind", ["root", "davs"])
def test_an_output(scene: Scene, door: str, kind: str) -> None:
    """A file is there under its name alone, in folders that were not, with the checksum that the job reports."""
    to = f"{urls(door)[kind]}/{kind}/deep/{{job}}/"
    script = "mkdir out; head -c 3000000 /dev/urandom > 'out/a b.root'; printf x > out/c.root"
    attempt = scene.run(script, outputs=[{"path": "out/", "to": to}])
    assert attempt.outcome is Outcome.SUCCESS, attempt
    assert len(attempt.outputs) == 2
    for output in attempt.outputs:
        path = DATA / kind / "deep" / output.where[0].rpartition("/deep/")[2].replace("%20", " ")
        assert f"{zlib.adler32(path.read_bytes()):08x}" == output.adler32
        assert [each.name for each in path.parent.iterdir() if each.name.startswith(".")] == []


@pytest.mark.parametrize("kind", ["root", "davs"])
def test_an_output_that_was_there(scene: Scene, door: str, kind: str) -> None:
    """A later attempt puts its file in the place of an earlier one's, at once."""
    to = f"{urls(door)[kind]}/{kind}-again.txt"
    for content in ("first", "second"):
        attempt = scene.run(f"printf {content} > a.txt", outputs=[{"path": "a.txt", "to": to}])
        assert attempt.outcome is Outcome.SUCCESS, attempt
    assert (DATA / f"{kind}-again.txt").read_text() == "second"


@pytest.mark.parametrize("kind", ["root", "davs"])
def test_an_input(scene: Scene, door: str, kind: str) -> None:
    """An input comes by the same way, and is compared with the checksum that the job knows."""
    content = b"1,2,3\n" * 100_000
    (DATA / "in.csv").write_bytes(content)
    known = {"adler32": f"{zlib.adler32(content):08x}", "size": len(content)}
    good = scene.run("wc -c < in.csv | grep -q 600000", inputs=[{"url": f"{urls(door)[kind]}/in.csv", **known}])
    assert good.outcome is Outcome.SUCCESS, good
    bad = scene.run("true", inputs=[{"url": f"{urls(door)[kind]}/in.csv", "adler32": "12345678"}])
    assert bad.outcome is Outcome.INPUT_ERROR
    assert "12345678" in bad.message


@pytest.mark.parametrize("kind", ["root", "davs"])
def test_what_it_refuses(scene: Scene, door: str, kind: str) -> None:
    """A folder that it does not export is refused by its own word, and the next destination taken."""
    refused = f"{urls(door)[kind].replace('/data', '/secret')}/x.txt"
    attempt = scene.run("printf x > x.txt", outputs=[{"path": "x.txt", "to": [refused, "sandbox"]}])
    assert attempt.outcome is Outcome.SUCCESS, attempt
    assert attempt.outputs[0].where == ("sandbox",)
    assert "x.txt is at sandbox (" in attempt.message
    assert "disallowed" in attempt.message if kind == "root" else "40" in attempt.message


def test_nobody_at_the_door(scene: Scene) -> None:
    """A server that is away is given up in seconds, and the next destination taken."""
    to = ["root://localhost:9//data/x.txt", "davs://localhost:9/data/x.txt", "sandbox"]
    attempt = scene.run("printf x > x.txt", outputs=[{"path": "x.txt", "to": to}])
    assert attempt.outcome is Outcome.SUCCESS, attempt
    assert attempt.outputs[0].where == ("sandbox",)


def test_many_files(scene: Scene, door: str) -> None:
    """Forty files go to a real storage without one being lost.

    Not more: under several connections XRootD 5.5 now and then leaves an answer unsent ("bad write retry" in its log),
    and who waits for it is only freed by our own patience.
    """
    script = "i=0; while [ $i -lt 40 ]; do echo $i > $i.txt; i=$((i+1)); done"
    to = f"davs://{door}/data/many/"
    attempt = scene.run(script, seconds=200, outputs=[{"path": "*.txt", "to": to}])
    assert attempt.outcome is Outcome.SUCCESS, attempt
    assert sorted(int(Path(path).read_text()) for path in (DATA / "many").iterdir()) == list(range(40))
