"""Images from registries, through spython, by a pilot with a real Apptainer."""

from __future__ import annotations

import os
import ssl
import time
from pathlib import Path

import pytest

from pilot.protocol import AttemptReport
from pilot.states import Outcome
from tests.integration.https import make_authority
from tests.integration.pool_bench import MB, PoolBench
from tests.integration.proxy import Proxy
from tests.patience import PATIENCE
from tests.pilot_fakes import shell
from tests.real.container_scene import FILE, WHO, in_pilot
from tests.real.registry import registry

#: Whoever runs the tests. Others may not reach this Python; `test_container_jobs.py` has a whole pilot of theirs.
OURSELVES = WHO[0]
pytestmark = pytest.mark.real


def test_an_image_from_a_registry() -> None:
    """An image is pulled once through spython, kept, and used by all; what is pulled is no payload's to write to."""
    with registry() as shop:
        uri = shop.add("analysis", FILE.read_bytes())

        def act(bench: PoolBench) -> list[tuple[AttemptReport, str]]:
            bench.pool.services.host["APPTAINER_NOHTTPS"] = "true"  # type: ignore[index]
            for job in (1, 2):
                bench.pool.start(shell(job, "cat /etc/image; ls /srv/job", container=uri))
            return [(bench.central.end_of(job, 60), bench.printed(job)) for job in (1, 2)]

        for report, printed in in_pilot(OURSELVES, act):
            assert report.outcome is Outcome.SUCCESS, report
            assert printed == "the image\n"
        assert shop.served == 1


def test_an_image_by_way_of_a_proxy(tmp_path: Path) -> None:
    """A registry that no resolver of the node knows is reached by the proxy that its environment names."""
    authority = make_authority(tmp_path, "registry.example")
    (tmp_path / "ca.pem").write_text(authority.ca_pem)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(authority.certificate, authority.key)
    with registry("registry.example", tls) as shop, Proxy(names={shop.host: "127.0.0.1"}) as proxy:
        uri = shop.add("analysis", FILE.read_bytes())
        told = {"https_proxy": proxy.url, "HTTPS_PROXY": proxy.url, "SSL_CERT_FILE": f"{tmp_path}/ca.pem"}

        def act(bench: PoolBench) -> AttemptReport:
            bench.pool.services.host.update(told)  # type: ignore[attr-defined]
            return bench.run(1, "cat /etc/image", container=uri, seconds=60)

        report = in_pilot(OURSELVES, act)
        assert report.outcome is Outcome.SUCCESS, report
        assert set(proxy.asked) == {f"registry.example:{shop.port}"}


def test_an_image_that_no_registry_has() -> None:
    """What spython does when it fails, leaving by `sys.exit`, costs one attempt its container: it is told why."""
    with registry() as shop:

        def act(bench: PoolBench) -> AttemptReport:
            bench.pool.services.host["APPTAINER_NOHTTPS"] = "true"  # type: ignore[index]
            return bench.run(1, "true", container=f"oras://127.0.0.1:{shop.port}/nothing:latest", seconds=60)

        report = in_pilot(OURSELVES, act)
        assert report.outcome is Outcome.INPUT_ERROR, report.message
        assert "could not be pulled" in report.message
        assert "404" in report.message or "not found" in report.message.lower()


def test_an_image_that_is_too_large() -> None:
    """A pull ends when it brings more than the cache may hold, and the job is told how much that is."""
    with registry() as shop:
        uri = shop.add("large", FILE.read_bytes() + bytes(300 * MB))

        def act(bench: PoolBench) -> AttemptReport:
            bench.pool.services.host["APPTAINER_NOHTTPS"] = "true"  # type: ignore[index]
            return bench.run(1, "true", container=uri, seconds=60)

        report = in_pilot(OURSELVES, act, image_cache_size=50 * MB)
        assert report.outcome is Outcome.INPUT_ERROR, report.message
        assert "larger than 50.0 MB" in report.message


def test_a_registry_out_of_reach() -> None:
    """A registry that does not answer is no fault of the job's: another node may reach it."""
    with registry() as shop:
        uri = shop.add("analysis", FILE.read_bytes())

    def act(bench: PoolBench) -> AttemptReport:
        bench.pool.services.host["APPTAINER_NOHTTPS"] = "true"  # type: ignore[index]
        return bench.run(1, "true", container=uri, seconds=60)

    report = in_pilot(OURSELVES, act)
    assert report.outcome is Outcome.NODE_FAULT, report
    assert "refused" in report.message


def test_a_pull_that_is_killed() -> None:
    """A pull that hangs ends with its attempt, within the time of a kill, and with all that it started."""
    with registry() as shop:
        uri = shop.add("analysis", FILE.read_bytes())
        shop.silent.set()

        def act(bench: PoolBench) -> tuple[AttemptReport, float, list[int]]:
            bench.pool.services.host["APPTAINER_NOHTTPS"] = "true"  # type: ignore[index]
            bench.pool.start(shell(1, "true", container=uri))
            bench.central.wait_for(lambda: bool(_pulling(uri)), "the pull")
            began = time.monotonic()
            bench.pool.kill(1, 1, "the owner's wish")
            report = bench.central.end_of(1)
            took = time.monotonic() - began
            bench.central.wait_for(lambda: not _pulling(uri), "the end of the pull", 5)
            return report, took, _pulling(uri)

        report, took, left = in_pilot(OURSELVES, act)
        assert report.outcome is Outcome.KILLED, report
        assert took < 10 * PATIENCE
        assert left == []


def _pulling(uri: str) -> list[int]:
    """The runtime's processes that pull an image."""
    pids = map(int, filter(str.isdigit, os.listdir("/proc")))
    return [pid for pid in pids if b"apptainer\0" in _words(pid) and os.fsencode(uri) in _words(pid)]


def _words(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
