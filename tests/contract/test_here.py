"""This host, as a computer on which the programs of a batch system are run."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
import uvloop

from central.elements import host
from central.elements.here import Here
from central.elements.port import ComputingError, Trouble
from tests.system import process_rows, wait_for


def sleepers(seconds: str) -> list[int]:
    return [row.pid for row in process_rows() if row.words[:2] == ["sleep", seconds]]


def test_words_input_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Words and input arrive as they are; of the environment, only what is given and the little that is inherited."""
    monkeypatch.setenv("OF_THE_CENTRAL_ALONE", "1")
    asked = [
        "sh",
        "-c",
        'echo "$1|$GIVEN|$OF_THE_CENTRAL_ALONE|${HOME:+home}"; cat; echo no >&2; exit 3',
        "sh",
        "a  'b",
    ]
    ran = asyncio.run(Here({"GIVEN": "$HOME"}).run(asked, b"\0input"))
    assert (ran.code, ran.output, ran.errors) == (3, b"a  'b|$HOME||home\n\0input", b"no\n")
    assert ran.said == "no"


def test_a_program_that_does_not_listen() -> None:
    """One that ends without reading what it is given has ended as it has, in the loop that the central runs too."""

    async def several() -> list[int]:
        here = Here({})
        return [ran.code for ran in await asyncio.gather(*(here.run(["true"], b"x" * 200_000) for _ in range(10)))]

    assert uvloop.run(several()) == [0] * 10


@pytest.mark.parametrize("script", ["sleep {0} & wait", "sleep {0} & exit 0", "setsid sleep 3 & exit 0"])
def test_time_is_limited_and_nothing_stays(script: str) -> None:
    """A program that takes too long is ended with all that it started, even where it ended itself and left others."""
    began = time.monotonic()
    seconds = f"61{len(script)}"
    with pytest.raises(ComputingError, match="sh did not end within 0.5 s on this host") as caught:
        asyncio.run(Here({}, patience=0.5).run(["sh", "-c", script.format(seconds)]))
    assert caught.value.trouble is Trouble.UNREACHABLE
    assert time.monotonic() - began < 10
    wait_for(lambda: not sleepers(seconds), 10, "everything to be ended")


def test_too_much_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that prints without end is ended, and its answer is none."""
    monkeypatch.setattr(host, "MOST_PRINTED", 100_000)
    with pytest.raises(ComputingError, match="printed more than 100000 bytes") as caught:
        asyncio.run(Here({}).run(["sh", "-c", "yes; sleep 617"]))
    assert caught.value.trouble is Trouble.UNREACHABLE
    wait_for(lambda: not sleepers("617"), 10, "everything to be ended")


def test_what_cannot_be_run(tmp_path: Path) -> None:
    """A program that is missing, or is none, is refused: it would be so again."""
    (tmp_path / "none").write_text("no program")
    for program in ("no-such-program", str(tmp_path / "none")):
        with pytest.raises(ComputingError, match=f"{program} cannot be run on this host") as caught:
            asyncio.run(Here({}).run([program]))
        assert caught.value.trouble is Trouble.REFUSED


def test_input_that_nobody_wants() -> None:
    """A program that does not read what it is given is judged by its code."""
    assert asyncio.run(Here({}).run(["false"], b"x" * 10_000_000)).code == 1
