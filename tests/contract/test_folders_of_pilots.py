"""The folders of pilots on a submit host, by the shell that is there."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from central.elements import places
from central.elements.here import Here
from central.elements.host import Ran
from central.elements.port import Submission
from central.elements.system import Call

ONE, TWO, THREE = (f"{number:032x}" for number in (1, 2, 3))


def run(call: Call) -> Ran:
    return asyncio.run(Here({}).run(call.argv, call.stdin))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "a folder"
    filled = run(
        places.fill(str(folder), [Submission(stamp, "#!/bin/sh\n", f"secret of {stamp}") for stamp in (ONE, TWO)])
    )
    assert filled.code == 0, filled.said
    return folder


def test_they_are_closed_to_others(folder: Path) -> None:
    """Nobody else can look into a pilot's folder, nor read its script and its secret."""
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *(folder / ONE).iterdir(), folder / ONE)}
    assert modes == {"a folder": 0o700, ONE: 0o700, "wrapper.sh": 0o700, "secret": 0o600}
    assert (folder / TWO / "secret").read_text() == f"secret of {TWO}"


def test_where_others_could_put_a_script_nothing_is_laid_out(folder: Path) -> None:
    """A folder in which others may rename what is ours is refused; one that only lets them add to it is not."""
    call = places.fill(str(folder), [Submission(THREE, "#!/bin/sh\n", "a secret")])
    folder.chmod(0o777)
    ran = run(call)
    assert (ran.code, (folder / THREE).exists()) == (1, False)
    assert b"all may write to it: expected one of our own" in ran.errors
    folder.chmod(0o1777)
    assert run(call).code == 0


def test_they_are_listed_with_the_codes_that_were_left(folder: Path) -> None:
    """A code is read where a wrapper left one; a file that is none, however large, says nothing."""
    (folder / TWO / "exit").write_text("7\n")
    (folder / THREE).mkdir()
    (folder / THREE / "exit").write_text("8" * 10_000_000)
    listed = run(places.list_all(str(folder)))
    assert places.listed(listed.output) == {ONE: None, TWO: 7, THREE: None}
    assert len(listed.output) < 1000


def test_before_the_first(tmp_path: Path) -> None:
    """Where there is no folder yet, there are no pilots, and that is no failure."""
    none = run(places.list_all(str(tmp_path / "none")))
    assert (none.code, places.listed(none.output)) == (0, {})


def test_the_end_of_what_was_printed(folder: Path) -> None:
    """Nothing was printed yet, or little, or much: then its last megabyte."""
    place = folder / ONE
    assert run(places.tail(str(place))).output == b""
    (place / "output").write_bytes(b"begin" + b"x" * places.OUTPUT_BOUND + b"end")
    output = run(places.tail(str(place))).output
    assert (len(output), output[-4:]) == (places.OUTPUT_BOUND, b"xend")


def test_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    """What a pilot's jobs put in the place of its output, or of its folder, shows nobody a file of ours."""
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "output").write_text("a key")
    (folder / ONE / "output").symlink_to(tmp_path / "ours" / "output")
    (folder / THREE).symlink_to(tmp_path / "ours")
    for stamp in (ONE, THREE):
        ran = run(places.tail(str(folder / stamp)))
        assert (ran.code, ran.output, ran.errors) == (1, b"", b"it is a link\n")


def test_a_link_that_comes_after_the_look_is_not_followed(folder: Path, tmp_path: Path) -> None:
    """The file that was opened is the one that is looked at: a folder above that is a link by then shows nothing."""
    (tmp_path / "ours" / "deep" / ONE).mkdir(parents=True)
    (tmp_path / "ours" / "deep" / ONE / "output").write_text("a key")
    words = places.tail(str(folder / ONE))
    late = f"ln -s '{tmp_path}/ours/deep/{ONE}/output' '{folder / ONE}/output'; [ -f"
    raced = (*words.argv[:2], words.argv[2].replace("[ -f", late, 1), *words.argv[3:])
    ran = run(Call(raced))
    assert (ran.code, ran.output, ran.errors) == (1, b"", b"it is not in its folder\n")


def test_one_is_removed(folder: Path) -> None:
    """One pilot's folder goes, the others stay."""
    assert run(places.remove(str(folder), ONE)).code == 0
    assert [path.name for path in folder.iterdir()] == [TWO]
