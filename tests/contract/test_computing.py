"""The contract of every outer computing element."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from central.elements.local import LocalHost
from central.elements.port import ComputingElement, ComputingError, Listed, Standing, Submission

SLEEP = "#!/bin/sh\ntrap 'kill $child; exit 3' TERM\nsleep 600 & child=$!\nwait $child\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "pilots"


@pytest.fixture
def element(folder: Path) -> Iterator[ComputingElement]:
    """A local host whose processes are gone afterwards, whatever the test did."""
    element = LocalHost(folder)
    yield element
    running = [entry.reference for entry in asyncio.run(element.listing()) if entry.standing is Standing.RUNNING]
    asyncio.run(element.cancel(running))
    until(element, lambda listed: all(entry.standing is Standing.ENDED for entry in listed))


def until(element: ComputingElement, wanted: Callable[[Sequence[Listed]], bool], seconds: float = 10.0) -> None:
    """Ask for the list until it is as wanted."""
    end = time.monotonic() + seconds
    while not wanted(listed := asyncio.run(element.listing())):
        assert time.monotonic() < end, f"still {listed}"
        time.sleep(0.02)


def submission(number: int, script: str) -> Submission:
    return Submission(stamp=f"{number:032x}", script=script, secret=f"secret-{number}")


def standing(element: ComputingElement, stamp: str) -> Standing | None:
    return next((entry.standing for entry in asyncio.run(element.listing()) if entry.stamp == stamp), None)


def test_each_gets_a_reference_and_is_listed(element: ComputingElement) -> None:
    """Several submissions get distinct references and are found in the list by their stamps."""
    submissions = [submission(number, SLEEP) for number in range(3)]
    references = asyncio.run(element.submit(submissions))
    assert len(set(references.values())) == 3
    until(element, lambda listed: sum(entry.standing is Standing.RUNNING for entry in listed) == 3)
    assert {entry.stamp for entry in asyncio.run(element.listing())} == {item.stamp for item in submissions}


def test_a_fresh_adapter_finds_them(element: ComputingElement, folder: Path) -> None:
    """What was submitted before a crash is found by an adapter that knows nothing of it."""
    one = submission(1, SLEEP)
    asyncio.run(element.submit([one]))
    until(element, lambda listed: any(entry.standing is Standing.RUNNING for entry in listed))
    assert standing(LocalHost(folder), one.stamp) is Standing.RUNNING


def test_a_pilot_has_the_environment_of_its_queue(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the queue sets is in the pilot's environment beside the little that it inherits; nothing else is."""
    monkeypatch.setenv("LANG", "C")
    monkeypatch.setenv("OF_THE_CENTRAL_ALONE", "1")
    element, one = LocalHost(folder, {"X509_CERT_DIR": "/far/certificates"}), submission(1, "env\n")
    asyncio.run(element.submit([one]))
    until(element, lambda listed: all(entry.standing is Standing.ENDED for entry in listed))
    seen = asyncio.run(element.output(one.stamp, one.stamp)).decode().splitlines()
    assert "X509_CERT_DIR=/far/certificates" in seen
    assert "LANG=C" in seen
    assert not any(line.startswith("OF_THE_CENTRAL_ALONE") for line in seen)


def test_the_end_is_seen(element: ComputingElement, folder: Path) -> None:
    """A submission that ended is listed as ended, with the exit code that its wrapper left and its output."""
    one = submission(1, f'echo "last words"\necho 7 > {folder}/{1:032x}/exit\nexit 7\n')
    reference = asyncio.run(element.submit([one]))[one.stamp]
    assert isinstance(reference, str)
    until(element, lambda listed: [entry.exit_code for entry in listed] == [7])
    assert standing(element, one.stamp) is Standing.ENDED
    assert asyncio.run(element.output(one.stamp, reference)) == b"last words\n"


def test_cancel_twice_and_of_the_unknown(element: ComputingElement) -> None:
    """Cancelling ends a submission; doing it again, or of something unknown, is no error."""
    one = submission(1, SLEEP)
    reference = asyncio.run(element.submit([one]))[one.stamp]
    assert isinstance(reference, str)
    until(element, lambda listed: any(entry.standing is Standing.RUNNING for entry in listed))
    assert asyncio.run(element.cancel([reference])) == {}
    until(element, lambda listed: all(entry.standing is Standing.ENDED for entry in listed))
    assert asyncio.run(element.cancel([reference, "nobody"])) == {}


def test_forgotten(element: ComputingElement) -> None:
    """An ended submission that was forgotten is not listed any more."""
    one = submission(1, "exit 0\n")
    reference = asyncio.run(element.submit([one]))[one.stamp]
    assert isinstance(reference, str)
    until(element, lambda listed: all(entry.standing is Standing.ENDED for entry in listed))
    asyncio.run(element.forget(one.stamp, reference))
    assert asyncio.run(element.listing()) == []


def test_failures_are_per_item(element: ComputingElement, folder: Path) -> None:
    """One submission that cannot be started does not keep the others from starting, and says why."""
    folder.mkdir()
    bad, good = submission(1, SLEEP), submission(2, SLEEP)
    (folder / bad.stamp).write_text("a file where the folder should be")
    results = asyncio.run(element.submit([bad, good]))
    assert isinstance(results[bad.stamp], ComputingError)
    assert results[good.stamp] == good.stamp


def test_the_secret_is_private(element: ComputingElement) -> None:
    """The secret lies in a file that only its owner reads, and neither the script nor the command line holds it."""
    one = submission(1, SLEEP)
    asyncio.run(element.submit([one]))
    until(element, lambda listed: any(entry.standing is Standing.RUNNING for entry in listed))
    secret = Path(element.secret_file(one.stamp))
    assert secret.read_text() == one.secret
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        assert one.secret.encode() not in told or int(entry.name) == os.getpid()
