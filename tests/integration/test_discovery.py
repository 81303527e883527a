"""What probes find on this machine, with everything that they start and ask for real."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from pilot import procfs
from pilot.node import Declared, Discovery, benchmark
from pilot.node.machine import this_machine
from pilot.node.outside import Request, fetch, run
from pilot.node.power import SETTLED, Node, Power, run_benchmark
from pilot.payloads.families import Families
from pilot.protocol import Fact
from pilot.singularity import probe
from tests.captured import load, record

pytestmark = pytest.mark.integration


def test_this_machine(tmp_path: Path) -> None:
    """Here every probe answers: there are cores, memory and disk, and a name for the system."""
    facts = {fact.name: fact for fact in Discovery(this_machine(), tmp_path, Declared(), time.monotonic()).facts()}
    for name in ("cores", "memory", "disk"):
        value = facts[name].value
        assert isinstance(value, int)
        assert value > 0
    assert facts["arch"].value
    assert facts["host"].value
    assert all(fact.source for fact in facts.values())


def test_a_command_says_what_it_prints_and_nothing_when_it_fails() -> None:
    """The output of a command that succeeds; None of one that fails, and of one that is not there."""
    assert run(["echo", "a b"]) == "a b\n"
    assert run(["sh", "-c", "echo half; exit 3"]) is None
    assert run(["no-such-command-anywhere"]) is None


def test_a_command_that_leaves_somebody_behind_holds_nobody_up(tmp_path: Path) -> None:
    """A command whose child keeps the output open is given up in time, and the child ends with it."""
    began = time.monotonic()
    assert run(["sh", "-c", f"sleep 60 & echo $! > {tmp_path}/pid; echo done"], seconds=0.5) is None
    assert time.monotonic() - began < 30
    pid = int((tmp_path / "pid").read_text())
    _wait_until_gone(pid)


def test_the_age_of_a_process() -> None:
    """A process is as old as the time since it was started; one that is gone has no age."""
    began = time.monotonic()
    child = subprocess.Popen(["sleep", "60"])
    try:
        age = procfs.age(child.pid)
        assert age is not None
        # The kernel counts starts in hundredths of a second.
        assert 0 <= age <= time.monotonic() - began + 0.02
    finally:
        child.kill()
        child.wait()
    assert procfs.age(child.pid) is None


def test_endless_output_is_cut_off() -> None:
    """A command that prints without end is given up."""
    assert run(["yes"], seconds=5) is None


def _wait_until_gone(pid: int) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        time.sleep(0.02)
    raise AssertionError(f"process {pid} still runs")


class _Service(BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        known = self.path == "/known?a=b"
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(f"{self.command} {self.headers.get('X-Word')}".encode())

    def log_message(self, *words: object) -> None: ...


def test_a_service_is_asked_with_method_and_headers() -> None:
    """The answer of success is returned, any other is None; so is that of nobody."""
    with HTTPServer(("127.0.0.1", 0), _Service) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_port}"
            assert fetch(Request(f"{address}/known?a=b", {"X-Word": "hear"}, "PUT")) == "PUT hear"
            assert fetch(Request(f"{address}/unknown")) is None
        finally:
            server.shutdown()
            thread.join()
    assert fetch(Request(f"{address}/known")) is None
    assert fetch(Request("ftp://127.0.0.1/")) is None


def test_a_service_that_does_not_answer_is_not_waited_for() -> None:
    """One that swallows packets, one that says nothing, and one that sends a byte now and then: given up in time."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as stack:
        address = full.getsockname()
        for _ in range(8):  # with its queue full, the kernel drops what comes
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        assert _seconds(lambda: fetch(Request(f"http://127.0.0.1:{address[1]}/"), 0.2)) < 20
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert _seconds(lambda: fetch(Request(f"http://127.0.0.1:{silent.getsockname()[1]}/"), 0.2)) < 20
    with socket.create_server(("127.0.0.1", 0)) as slow:
        over = threading.Event()
        drips = threading.Thread(target=_drip, args=(slow, over))
        drips.start()
        # Its thousand bytes would take 50 s.
        assert _seconds(lambda: fetch(Request(f"http://127.0.0.1:{slow.getsockname()[1]}/"), 0.2)) < 20
        over.set()
        drips.join()


def _seconds(ask: Callable[[], object]) -> float:
    began = time.monotonic()
    assert ask() is None
    return time.monotonic() - began


def _drip(server: socket.socket, over: threading.Event) -> None:
    connection, _ = server.accept()
    with connection:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not over.wait(0.05):
            try:
                connection.sendall(b"x")
            except OSError:
                return


def test_power_is_measured_beside_the_work_and_kept_for_the_next_pilot(tmp_path: Path) -> None:
    """The first pilot measures in a process of its own; the next on this node, with this CPU, reads what it wrote."""
    told: list[Fact] = []
    known = threading.Event()

    def tell(fact: Fact) -> None:
        told.append(fact)
        known.set()

    node = Node("here", "this CPU")
    slept: list[float] = []
    first = Power(node, tmp_path / "cache", run_benchmark, slept.append)
    assert first.value() is None
    first.measure(tell)
    assert known.wait(60)
    assert slept == [SETTLED]
    (fact,) = told
    assert isinstance(fact.value, float)
    assert first.value() == fact.value > 0

    def never() -> str:
        raise AssertionError("measured again")

    again = Power(node, tmp_path / "cache", never).find()
    assert (again.value, again.source.endswith("by an earlier pilot")) == (fact.value, True)
    assert Power(Node("here", "another CPU"), tmp_path / "cache", lambda: "1.5").find().value == 1.5


def test_a_benchmark_ends_with_the_pilot(tmp_path: Path) -> None:
    """Nothing is left running of a pilot that ends while its benchmark runs."""
    waits = tmp_path / "waits.py"
    waits.write_text(
        Path(benchmark.__file__).read_text().replace('print(f"{score()', 'time.sleep(60); print(f"{score()')
    )
    starts = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-I', {str(waits)!r}]).pid, flush=True)"
    pid = int(
        subprocess.run([sys.executable, "-c", starts + "; import time; time.sleep(1)"], capture_output=True).stdout
    )
    _wait_until_gone(pid)


def test_what_is_recorded_here_is_a_case(tmp_path: Path) -> None:
    """A machine written down by `tests.captured` gives the same facts when it is read again, and holds no secrets."""
    os.environ["PILOTAGE_SOME_SECRET"] = "hidden"
    try:
        record(tmp_path / "case")
    finally:
        del os.environ["PILOTAGE_SOME_SECRET"]
    facts = {fact.name: {"value": fact.value, "source": fact.source} for fact in load(tmp_path / "case").facts()}
    assert facts == json.loads((tmp_path / "case" / "expected.json").read_text())
    assert not any(b"hidden" in path.read_bytes() for path in (tmp_path / "case").rglob("*") if path.is_file())


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Popen makes process groups since Python 3.11")
def test_the_watchdog_takes_no_exit_code_of_a_trial(tmp_path: Path) -> None:
    """A container that fails is known to, though all the while somebody waits for what payloads have left behind."""
    families, over = Families(), threading.Event()

    def reap() -> None:
        while not over.is_set():
            families.reap()

    watchdog = threading.Thread(target=reap)
    watchdog.start()
    try:
        words = ["/bin/sh", "-c", "exit 3"]
        codes = [probe.run(words, tmp_path, dict(os.environ)).returncode for _ in range(20)]
    finally:
        over.set()
        watchdog.join()
    assert codes == [3] * 20
