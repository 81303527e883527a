"""Receivers of logs that hang, drip or are away: what they do wrong costs the pilot nothing but time for its logs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from pilot.errors import ExitCode, TransportError
from pilot.protocol import Settings, attempt_stream
from pilot.states import Outcome
from pilot.transport import Https
from tests.integration.real_pilot import RealPilot
from tests.integration.wire_central import WireCentral

pytestmark = pytest.mark.integration

SECRET = "one-time-secret-of-the-test"
#: The pilot, with less patience for an answer to a chunk, so that the test need not have it either.
RUN = """
import sys
from pilot import __main__
from pilot.monitor import central_client
central_client.TIMEOUT = 2.0
sys.exit(__main__.main(sys.argv[1:]))
"""
BEAT = 0.5


@pytest.fixture
def central(tmp_path: Path) -> Iterator[WireCentral]:
    settings = Settings(("physics",), idle=3, lease=600, beat=BEAT, match_wait=1, log_interval=0.2)
    with WireCentral(tmp_path, SECRET, settings) as central:
        yield central


@pytest.fixture
def pilot(tmp_path: Path, central: WireCentral) -> Iterator[RealPilot]:
    pilot = RealPilot(tmp_path, central.url, central.ca, SECRET)
    yield pilot
    pilot.end()
    print(pilot.log)


@pytest.mark.parametrize("how", ["hangs", "drips"])
def test_a_receiver_that_does_not_answer_stops_nothing(central: WireCentral, pilot: RealPilot, how: str) -> None:
    """While each push hangs, or is answered byte by byte, beats come in time and jobs run and are reported; once it
    answers again everything that was printed is there, once."""
    if how == "hangs":
        central.delay["log"] = 60.0
    else:
        central.drip["log"] = 0.5
    print_all = "import time\nfor n in range(2000):\n print('line', n, flush=True)\n if n == 999: time.sleep(4)"
    jobs = [central.submit(sys.executable, "-c", print_all) for _ in range(3)]
    pilot.start((sys.executable, "-c", RUN))
    begun = time.monotonic()
    central.until(lambda: len(central.ended()) == 3, 60)
    assert time.monotonic() - begun < 50  # a push hangs for 60 s
    assert {report.outcome for report in central.ended().values()} == {Outcome.SUCCESS}
    assert max(after - before for before, after in pairwise(central.beats_at)) < 20 * BEAT
    central.delay.clear()
    central.drip.clear()
    assert pilot.wait() == ExitCode.DONE
    printed = "".join(f"line {n}\n" for n in range(2000)).encode()
    for job in jobs:
        assert central.log(attempt_stream(job, 1, "stdout")) == printed
    assert not central.failures


def test_an_answer_that_drips_is_given_up(central: WireCentral) -> None:
    """An answer of which a byte comes now and then is over at its deadline, and not when its last byte is there."""
    central.drip["log"] = 0.4
    begun = time.monotonic()
    with pytest.raises(TransportError, match="took too long"):
        Https(central.ca).send("PUT", f"{central.url}/v1/logs/{'ab' * 16}/pilot?offset=0", HEADERS, b"x", 1.0)
    assert time.monotonic() - begun < 5


HEADERS = {"Content-Encoding": "identity"}
