"""Outputs and inputs by URL: a real pilot against a real storage over TLS, and the storage's bad days."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pilot.attempts import rounds
from pilot.destinations import connection
from pilot.destinations.storages import Storages
from pilot.errors import ExitCode
from pilot.protocol import AttemptReport, Credential, Needs, OutputRule, Settings, UrlInput
from pilot.states import Outcome
from tests.integration.faulty_storage import FaultyStorage, storing
from tests.integration.https import Authority, make_authority
from tests.integration.pool_bench import PoolBench, pool_bench
from tests.integration.proxy import Proxy
from tests.integration.real_pilot import RealPilot
from tests.integration.wire_central import WireCentral
from tests.patience import PATIENCE
from tests.pilot_fakes import shell

HELLO = "printf hello > out.txt"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def trusted(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The storage's authority is one of the system's."""
    ca = tmp_path / "system-ca.pem"
    ca.write_text(authority.ca_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(ca))
    return ca


@pytest.fixture
def storage(authority: Authority, trusted: Path) -> Iterator[FaultyStorage]:
    with storing(authority) as storage:
        yield storage


@pytest.fixture
def other(authority: Authority) -> Iterator[FaultyStorage]:
    with storing(authority) as storage:
        yield storage


@pytest.fixture
def bench(tmp_path: Path, trusted: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PoolBench]:
    monkeypatch.setattr(rounds, "LONGEST", 0.2)
    (tmp_path / "work").mkdir()
    with pool_bench(tmp_path / "work") as bench:
        storages = Storages({"PATH": os.environ["PATH"]})
        bench.pool.services = replace(bench.services, storages=storages)
        yield bench
        storages.close()


def run(
    bench: PoolBench, script: str, *rules: OutputRule, job: int = 1, seconds: float = 60.0, **more: Any
) -> AttemptReport:
    """Run a line of shell; `fields` are of its job, `more` of its lease."""
    lease = shell(job, script)
    lease = replace(lease, spec=replace(lease.spec, outputs=rules, **more.pop("fields", {})), **more)
    bench.pool.start(lease)
    return bench.central.end_of(job, seconds)


# -- a real pilot -----------------------------------------------------------------------------------------------------


def test_a_real_pilot_delivers_to_a_storage(storage: FaultyStorage, trusted: Path, tmp_path: Path) -> None:
    """A job's `to:` is where its output is when the job is done, under the right name and with its checksum told."""
    settings = Settings(idle=60, match_wait=1, lease=60, beat=0.5)
    (tmp_path / "wire").mkdir()
    with WireCentral(tmp_path / "wire", "a-secret", settings) as central:
        pilot = RealPilot(tmp_path, central.url, central.ca, "a-secret")
        pilot.start(environment={"SSL_CERT_FILE": str(trusted)})
        try:
            rule = OutputRule("*.txt", (f"{storage.url}/data/{{job}}/",))
            number = central.submit("/bin/sh", "-c", HELLO, outputs=(rule,), needs=Needs(wall_time=60))
            central.until(lambda: (number, 1) in central.ended(), 40, pilot.log)
        finally:
            pilot.end()
    report = central.ended()[number, 1]
    assert report.outcome is Outcome.SUCCESS, report
    (output,) = report.outputs
    assert output.where == (f"{storage.url}/data/{number}/out.txt",)
    assert storage.content(f"/data/{number}/out.txt") == b"hello"
    assert output.adler32 == storage.files[f"/data/{number}/out.txt"].adler32


# -- one destination, and what is wrong with it -----------------------------------------------------------------------


def dav(url: str) -> str:
    return url.replace("https://", "davs://")


def test_webdav_gives_the_name_last(bench: PoolBench, storage: FaultyStorage) -> None:
    """Over WebDAV a file is put under another name, looked at, and moved; missing folders are made, in order."""
    storage.strict = True
    report = run(bench, "mkdir -p a/b; printf deep > a/b/x.root", OutputRule("a/", (f"{dav(storage.url)}/store/",)))
    assert report.outcome is Outcome.SUCCESS, report
    assert report.outputs[0].where == (f"{dav(storage.url)}/store/a/b/x.root",)
    assert storage.content("/store/a/b/x.root") == b"deep"
    assert list(storage.files) == ["/store/a/b/x.root"]
    assert {"/store/", "/store/a/", "/store/a/b/"} <= storage.folders
    puts = [path for method, path in storage.asked if method == "PUT"]
    assert puts[-1] == "/store/a/b/.x.root.1.1.part"


def test_webdav_without_a_move(bench: PoolBench, storage: FaultyStorage) -> None:
    """A storage that moves nothing gets the file under its name in the first place, and nothing else stays."""
    storage.no_move = True
    report = run(bench, HELLO, OutputRule("out.txt", (f"{dav(storage.url)}/x/",)))
    assert report.outcome is Outcome.SUCCESS, report
    assert list(storage.files) == ["/x/out.txt"]


def test_names_are_written_as_urls_want_them(bench: PoolBench, storage: FaultyStorage) -> None:
    """Blanks, signs and letters of a name arrive as they are, whatever they mean in a URL."""
    name = "a b#c?d%41é.txt"
    report = run(
        bench, f"printf x > '{name}'", OutputRule("*.txt", (f"{storage.url}/{{attempt}}/run-{{job}}-{{name}}",))
    )
    assert report.outcome is Outcome.SUCCESS, report
    assert storage.content(f"/1/run-1-{name}") == b"x"


def test_a_broken_connection_is_tried_again(bench: PoolBench, storage: FaultyStorage) -> None:
    """A storage that drops the connection in the midst of a file gets all of it in the end."""
    storage.drop_at, storage.drops = 1_000_000, 2
    report = run(bench, "head -c 3000000 /dev/zero > big", OutputRule("big", (f"{storage.url}/big",)))
    assert report.outcome is Outcome.SUCCESS, report
    assert storage.content("/big") == bytes(3_000_000)
    assert storage.methods().count("PUT") == 3
    assert report.message == ""


@pytest.mark.parametrize("early", [True, False])
def test_a_full_storage_is_passed_over(
    bench: PoolBench, storage: FaultyStorage, other: FaultyStorage, early: bool
) -> None:
    """Who has no room (507) is asked once, before the bytes are sent if it says so, and the next destination taken."""
    storage.status, storage.early = 507, early
    to = (f"{storage.url}/a/", f"{dav(other.url)}/b/")
    report = run(bench, "head -c 5000000 /dev/zero > big", OutputRule("big", to))
    assert report.outcome is Outcome.SUCCESS, report
    assert report.outputs[0].where == (f"{dav(other.url)}/b/big",)
    assert storage.methods() == ["PUT"]
    assert storage.received == (0 if early else 5_000_000)
    assert "big is at davs://" in report.message
    assert "507" in report.message


def test_silent_truncation_is_seen(bench: PoolBench, storage: FaultyStorage, other: FaultyStorage) -> None:
    """A storage that keeps less than it was given is found out by size, and what it has is removed."""
    storage.truncate, storage.digests = 3, False
    report = run(bench, HELLO, OutputRule("out.txt", (f"{storage.url}/x/", f"{other.url}/y/")))
    assert report.outputs[0].where == (f"{other.url}/y/out.txt",)
    assert "expected bytes 5, got 2" in report.message
    assert storage.files == {}


@pytest.mark.parametrize("scheme", ["https", "davs"])
def test_another_checksum_is_seen(bench: PoolBench, storage: FaultyStorage, other: FaultyStorage, scheme: str) -> None:
    """What a storage says is another file than was sent is not delivered there, and no such file stays."""
    storage.lie = True
    url = storage.url.replace("https", scheme)
    report = run(bench, HELLO, OutputRule("out.txt", (f"{url}/x/", f"{other.url}/y/")))
    assert report.outputs[0].where == (f"{other.url}/y/out.txt",)
    assert "expected adler32" in report.message
    assert storage.files == {}


def test_a_storage_that_hangs(
    bench: PoolBench, storage: FaultyStorage, other: FaultyStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who takes all bytes and says nothing is given up after a while, and the next destination taken."""
    monkeypatch.setattr(connection, "SILENCE", 1.0)
    monkeypatch.setattr(rounds, "TRIES", 2)
    storage.hang = threading.Event()
    report = run(bench, HELLO, OutputRule("out.txt", (f"{storage.url}/x/", f"{other.url}/y/")))
    assert report.outputs[0].where == (f"{other.url}/y/out.txt",)
    assert "nothing moved for too long" in report.message


def test_a_read_only_storage_is_told(bench: PoolBench, storage: FaultyStorage) -> None:
    """What a storage refuses is kept in the sandbox store after one try, with the storage's own word: an error."""
    storage.status = 403
    report = run(bench, HELLO, OutputRule("out.txt", (f"{storage.url}/x/",)))
    assert report.outcome is Outcome.OUTPUT_ERROR
    assert [(one.name, one.where) for one in report.outputs] == [("out.txt", ("sandbox",))]
    assert "403 Forbidden" in report.message
    assert storage.methods() == ["PUT"]


def test_the_sandbox_is_the_last_resort_where_it_is_listed(bench: PoolBench, storage: FaultyStorage) -> None:
    """A list may end in the sandbox store, which takes what nobody else did."""
    storage.status = 403
    report = run(bench, HELLO, OutputRule("out.txt", (f"{storage.url}/x/", "sandbox")))
    assert report.outcome is Outcome.SUCCESS
    assert report.outputs[0].where == ("sandbox",)
    assert bench.central.outputs(report) == {"out.txt": b"hello"}
    assert "out.txt is at sandbox (PUT " in report.message


def bearer(url: str, token: str) -> Credential:
    return Credential("mine", "bearer", {"token": token}, (url,))


def test_a_credential_goes_to_its_storage_alone(bench: PoolBench, storage: FaultyStorage, other: FaultyStorage) -> None:
    """A token is shown to the storage that it is for, and to no other, also when that one sends us on."""
    storage.redirect = other.url
    token = bearer(f"{storage.url}/mine/", "secret-token")
    fields = {"credentials": ("mine",)}
    report = run(bench, HELLO, OutputRule("out.txt", (f"{storage.url}/mine/",)), credentials=(token,), fields=fields)
    assert report.outcome is Outcome.SUCCESS, report
    assert set(storage.credentials) == {"Bearer secret-token"}
    assert other.content("/mine/out.txt") == b"hello"
    assert set(other.credentials) == {""}


def test_user_and_password(bench: PoolBench, storage: FaultyStorage) -> None:
    """A credential of the kind basic is sent as HTTP wants it."""
    storage.valid = "Basic YW5uOnNlc2FtZS1vcGVu"
    mine = Credential("mine", "basic", {"user": "ann", "password": "sesame-open"}, (dav(storage.url) + "/",))
    report = run(bench, HELLO, OutputRule("out.txt", (f"{dav(storage.url)}/x/",)), credentials=(mine,))
    assert report.outcome is Outcome.SUCCESS, report


def test_a_credential_that_expires_half_way(bench: PoolBench, storage: FaultyStorage) -> None:
    """Outputs that were stored before a token expired are where they are; the others are named, with the reason."""
    storage.valid, storage.valid_for = "Bearer secret-token", 20
    script = "for i in 1 2 3 4 5 6 7 8 9; do echo $i > $i.txt; done"
    token = bearer(storage.url, "secret-token")
    report = run(bench, script, OutputRule("*.txt", (f"{dav(storage.url)}/x/",)), credentials=(token,))
    assert report.outcome is Outcome.OUTPUT_ERROR
    there = [output for output in report.outputs if output.where != ("sandbox",)]
    assert 0 < len(there) < len(report.outputs) == 9
    assert "401" in report.message
    assert report.code == "files.credential"
    assert "secret-token" not in report.message + repr(report.outputs)
    moved = {path for method, path in storage.asked if method == "MOVE"}
    assert len(moved) >= len(there)


def test_a_storage_that_is_not_trusted(bench: PoolBench, tmp_path: Path) -> None:
    """Nothing is sent to a storage whose certificate comes from nobody who is trusted here."""
    (tmp_path / "stranger").mkdir()
    with storing(make_authority(tmp_path / "stranger")) as stranger:
        token = bearer(stranger.url, "secret-token")
        report = run(bench, HELLO, OutputRule("out.txt", (f"{stranger.url}/x/",)), credentials=(token,))
    assert report.outcome is Outcome.OUTPUT_ERROR
    assert "is not trusted" in report.message
    assert "lie in the folder X509_CERT_DIR" in report.message
    assert stranger.asked == []


def test_what_waits_is_brought_when_the_storage_is_back(bench: PoolBench, storage: FaultyStorage) -> None:
    """A storage that is away for a while costs time and nothing else."""
    storage.status = 503
    rule = OutputRule("out.txt", (f"{storage.url}/x/",))
    lease = shell(1, HELLO)
    bench.pool.start(replace(lease, spec=replace(lease.spec, outputs=(rule,))))
    bench.central.wait_for(lambda: len(storage.asked) > rounds.TRIES, "a second round", 60)
    storage.status = 0
    report = bench.central.end_of(1, 90)
    assert report.outcome is Outcome.SUCCESS, report
    assert report.message == ""


def test_an_attempt_that_is_killed_stops_to_deliver(bench: PoolBench, storage: FaultyStorage) -> None:
    """Somebody who kills a job does not wait for a storage that hangs."""
    storage.hang = threading.Event()
    lease = shell(1, HELLO)
    rule = OutputRule("out.txt", (f"{storage.url}/x/",))
    bench.pool.start(replace(lease, spec=replace(lease.spec, outputs=(rule,))))
    bench.central.wait_for(lambda: bool(storage.asked), "the upload", 30)
    began = time.monotonic()
    bench.pool.kill(1, 1, "not wanted any more")
    assert bench.central.end_of(1).outcome is Outcome.KILLED
    assert time.monotonic() - began < 10 * PATIENCE


def test_by_way_of_a_proxy(bench: PoolBench, storage: FaultyStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the site has a proxy storages are reached by way of it, with TLS from end to end."""
    with Proxy(user="ann:sesame") as proxy:
        monkeypatch.delenv("https_proxy", raising=False)
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "nowhere.example")
        report = run(bench, HELLO, OutputRule("out.txt", (f"{storage.url}/x/",)))
        bench.pool.services.storages.close()
    assert report.outcome is Outcome.SUCCESS, report
    assert proxy.asked == [storage.url.removeprefix("https://")]


# -- many, and large --------------------------------------------------------------------------------------------------


def test_many_small_outputs(bench: PoolBench, storage: FaultyStorage) -> None:
    """A thousand files go over a few connections, a few at a time."""
    script = "i=0; while [ $i -lt 1000 ]; do echo $i > $i.txt; i=$((i+1)); done"
    report = run(bench, script, OutputRule("*.txt", (f"{storage.url}/many/",)), seconds=120)
    assert report.outcome is Outcome.SUCCESS, report.message
    assert len(report.outputs) == len(storage.files) == 1000
    assert storage.content("/many/999.txt") == b"999\n"
    assert storage.connections <= 2 * rounds.LANES


def test_many_outputs_do_not_wait_for_a_dead_storage(
    bench: PoolBench, storage: FaultyStorage, other: FaultyStorage
) -> None:
    """A destination that is away is found out by a few outputs, and the others go to the next one at once."""
    storage.status, storage.early = 503, True
    script = "i=0; while [ $i -lt 200 ]; do echo $i > $i.txt; i=$((i+1)); done"
    to = (f"{storage.url}/many/", f"{other.url}/many/")
    report = run(bench, script, OutputRule("*.txt", to), seconds=120)
    assert report.outcome is Outcome.SUCCESS, report.message
    assert len(other.files) == 200
    assert len(storage.asked) <= rounds.TRIES * rounds.LANES * rounds.STRIKES
    assert "and so 197 more" in report.message


def test_a_large_output_in_little_memory(storage: FaultyStorage, trusted: Path, tmp_path: Path) -> None:
    """A file of a gigabyte passes through a pilot that may not hold a tenth of it."""
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(1_000_000_000)
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from pilot.destination import target_of\n"
        "from pilot.destinations.port import Errand, Source, digests_of\n"
        "from pilot.destinations.storages import Storages\n"
        "from tests.pilot_fakes import shell\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "path = Path(sys.argv[1])\n"
        "target = target_of(sys.argv[2], 1, 1, 'big')\n"
        "source = Source(path, digests_of(path, None))\n"
        "Storages({}).of(target.kind).put(source, target, Errand(shell(1, 'true'), lambda seconds: False))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    top = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script, str(big), f"{dav(storage.url)}/big"],
        cwd=top,
        env={**os.environ, "PYTHONPATH": str(top)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert storage.files["/big"].size == 1_000_000_000
    assert int(done.stdout) < 40_000, "kB more than before"


# -- file:// ----------------------------------------------------------------------------------------------------------


def test_a_mounted_place(bench: PoolBench, tmp_path: Path) -> None:
    """An output goes to a place of the node under its name, whole, and into folders that are made for it."""
    shared = tmp_path / "shared place"
    to = f"file://{str(shared).replace(' ', '%20')}/{{job}}/"
    report = run(bench, HELLO, OutputRule("out.txt", (to,)))
    assert report.outcome is Outcome.SUCCESS, report
    assert (shared / "1" / "out.txt").read_bytes() == b"hello"
    assert [path.name for path in (shared / "1").iterdir()] == ["out.txt"]


def test_a_place_that_may_not_be_written(bench: PoolBench, tmp_path: Path) -> None:
    """A folder that is none is told, and the next destination taken."""
    (tmp_path / "file").write_text("")
    report = run(bench, HELLO, OutputRule("out.txt", (f"file://{tmp_path}/file/x/", "sandbox")))
    assert report.outputs[0].where == ("sandbox",)
    assert "Not a directory" in report.message


# -- inputs -----------------------------------------------------------------------------------------------------------


def fetching(bench: PoolBench, *urls: UrlInput, job: int = 1, script: str = "cat in.txt", **more: Any) -> AttemptReport:
    return run(bench, script, job=job, fields={"urls": urls, **more.pop("spec", {})}, **more)


def test_an_input_by_url(bench: PoolBench, storage: FaultyStorage) -> None:
    """The payload finds what was at the URL under the name that its job gives it, verified by what is known of it."""
    storage.put("/data/run 1.csv", b"1,2,3\n")
    known = storage.files["/data/run 1.csv"]
    one = UrlInput("sub/in.txt", f"{storage.url}/data/run%201.csv", adler32=known.adler32, size=known.size)
    report = fetching(bench, one, script="cat sub/in.txt")
    assert report.outcome is Outcome.SUCCESS, report
    assert bench.printed(1) == "1,2,3\n"


def test_an_executable_from_a_url(bench: PoolBench, storage: FaultyStorage) -> None:
    """A program may come from a storage as well."""
    storage.put("/run.sh", b"#!/bin/sh\necho ran\n")
    fetching(bench, UrlInput("run.sh", f"{dav(storage.url)}/run.sh", executable=True), script="./run.sh")
    assert bench.printed(1) == "ran\n"


@pytest.mark.parametrize(
    "wrong",
    [{"sha256": "0" * 64}, {"adler32": "00000001"}, {"size": 3}, {"size": 30}],
    ids=str,
)
def test_an_input_that_is_not_what_it_was_to_be(
    bench: PoolBench, storage: FaultyStorage, wrong: dict[str, Any]
) -> None:
    """Bytes that do not fit what the job says of them never come to the payload, which does not start."""
    storage.put("/in", b"other content")
    report = fetching(bench, UrlInput("in.txt", f"{storage.url}/in", **wrong))
    assert report.outcome is Outcome.INPUT_ERROR
    assert "in.txt" in report.message
    assert bench.printed(1) == ""


def test_an_input_that_is_not_there(bench: PoolBench, storage: FaultyStorage) -> None:
    """What a storage does not have is told at once, and without the query of its URL."""
    report = fetching(bench, UrlInput("in.txt", f"{storage.url}/none?token=secret"))
    assert report.outcome is Outcome.INPUT_ERROR
    assert "404" in report.message
    assert "secret" not in report.message
    assert len(storage.asked) == 1


def test_an_input_that_breaks_off(bench: PoolBench, storage: FaultyStorage) -> None:
    """A download that is broken off is begun again; half a file is never taken for the whole."""
    storage.put("/in", bytes(2_000_000))
    storage.drop_at, storage.drops = 1_000_000, 2
    report = fetching(bench, UrlInput("in.txt", f"{storage.url}/in"), script="wc -c < in.txt")
    assert report.outcome is Outcome.SUCCESS, report
    assert bench.printed(1).strip() == "2000000"
    assert storage.methods() == ["GET"] * 3


def test_an_input_that_is_larger_than_the_attempt_may_be(bench: PoolBench, storage: FaultyStorage) -> None:
    """A URL of unknown size does not fill the node's disk."""
    storage.put("/in", bytes(3_000_000))
    one = UrlInput("in.txt", f"{storage.url}/in")
    report = fetching(bench, one, spec={"needs": Needs(disk=1_000_000, wall_time=60)})
    assert report.outcome is Outcome.INPUT_ERROR
    assert "room for" in report.message


def test_an_input_is_fetched_once_for_many_jobs(bench: PoolBench, storage: FaultyStorage, tmp_path: Path) -> None:
    """What is known by its SHA-256 is kept on the node; a job that changes its copy changes nobody else's."""
    from pilot.destinations.cache import InputCache

    cache = InputCache(tmp_path / "cache", 1_000_000)
    bench.pool.services = replace(bench.pool.services, inputs=cache)
    storage.put("/in", b"the same\n")
    one = UrlInput("in.txt", f"{storage.url}/in", sha256=storage.files["/in"].sha256)
    for job in (1, 2, 3):
        report = fetching(bench, one, job=job, script="cat in.txt; echo spoiled >> in.txt")
        assert report.outcome is Outcome.SUCCESS, report
        assert bench.printed(job) == "the same\n"
    assert storage.methods() == ["GET"]
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    (kept,) = (tmp_path / "cache").glob("*.sif")
    kept.chmod(0o600)
    kept.write_text("poisoned")
    fetching(bench, one, job=4)
    assert bench.printed(4) == "the same\n"
    assert storage.methods() == ["GET", "GET"]


def test_what_a_credential_opened_is_kept_for_its_owner(
    bench: PoolBench, storage: FaultyStorage, tmp_path: Path
) -> None:
    """Who knows the digest of somebody's protected file does not get it from the node's cache."""
    from pilot.destinations.cache import InputCache

    bench.pool.services = replace(bench.pool.services, inputs=InputCache(tmp_path / "cache", 1_000_000))
    storage.put("/in", b"protected")
    storage.valid = "Bearer secret-token"
    one = UrlInput("in.txt", f"{storage.url}/in", sha256=storage.files["/in"].sha256)
    ann = {"owner": "ann", "community": "physics", "credentials": (bearer(storage.url, "secret-token"),)}
    assert fetching(bench, one, job=1, **ann).outcome is Outcome.SUCCESS
    assert fetching(bench, one, job=2, owner="eve", community="physics").outcome is Outcome.INPUT_ERROR
    assert fetching(bench, one, job=3, **ann).outcome is Outcome.SUCCESS


# -- without a central, and by the client -----------------------------------------------------------------------------


def test_a_job_without_a_central(storage: FaultyStorage, trusted: Path, tmp_path: Path) -> None:
    """`run --job` fetches and delivers as on the grid, and says what is where; what is for the sandbox stays here."""
    storage.put("/in.txt", b"from afar\n")
    (tmp_path / "job.yaml").write_text(
        "name: home\ncommand: [sh, -c, 'cat in.txt > away.txt; echo here > here.txt']\n"
        f"inputs: [{{url: '{storage.url}/in.txt'}}]\n"
        f"outputs: [here.txt, {{path: away.txt, to: ['{dav(storage.url)}/out/', s3x]}}]\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    words = [sys.executable, "-m", "pilot", "run", "--job", "job.yaml"]
    wrong = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 2
    assert "outputs[1].to[1]: expected sandbox or a URL" in wrong.stderr
    job = tmp_path / "job.yaml"
    job.write_text(job.read_text().replace(", s3x", ""))
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert storage.content("/out/away.txt") == b"from afar\n"
    assert f"delivered {dav(storage.url)}/out/away.txt (10 B)" in done.stdout
    assert (tmp_path / "home-output" / "here.txt").read_text() == "here\n"
    assert not (tmp_path / "home-output" / "away.txt").exists()


def test_what_no_storage_takes_stays_here(storage: FaultyStorage, trusted: Path, tmp_path: Path) -> None:
    """Without a central, what every storage refuses is in the folder of the outputs, and the message says so."""
    storage.status = 403
    (tmp_path / "job.yaml").write_text(
        f"name: home\ncommand: [sh, -c, {HELLO!r}]\noutputs: [{{path: out.txt, to: ['{storage.url}/x/']}}]\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    words = [sys.executable, "-m", "pilot", "run", "--job", "job.yaml"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == ExitCode.PAYLOAD_FAILED, done.stdout + done.stderr
    assert (tmp_path / "home-output" / "out.txt").read_text() == "hello"
    assert "what no destination took is in home-output/" in done.stdout


def test_an_input_is_no_output_unless_it_was_changed(bench: PoolBench, storage: FaultyStorage) -> None:
    """A wildcard passes over inputs as they were brought; a changed one, and one that is named, are outputs."""
    for name in ("a.txt", "b.txt", "c.txt"):
        storage.put(f"/{name}", b"from afar\n")
    urls = tuple(UrlInput(name, f"{storage.url}/{name}") for name in ("a.txt", "b.txt", "c.txt"))
    rules = (OutputRule("*.txt"), OutputRule("c.txt"))
    report = run(bench, "echo more >> b.txt; echo new > d.txt", *rules, fields={"urls": urls})
    assert [output.name for output in report.outputs] == ["b.txt", "d.txt", "c.txt"]


def test_a_transfer_that_is_tried_again_is_told(bench: PoolBench, storage: FaultyStorage) -> None:
    """While an output cannot be delivered its pilot says why, to the central and in its log; a kill keeps that."""
    storage.status = 500
    lease = shell(1, HELLO)
    to = f"{storage.url}/x/{{job}}/"
    lease = replace(lease, spec=replace(lease.spec, outputs=(OutputRule("out.txt", (to,)),)))
    bench.pool.start(lease)

    def told() -> str:
        bench.pool.progress()
        reports = [report for said in list(bench.central.progressed) for report in said]
        return next((one.usage.waits_for for one in reversed(reports) if one.usage.waits_for), "")

    bench.central.wait_for(lambda: "tried" in told(), "a word on the storage", 30)
    assert told().startswith(f"to {storage.url}/x/1/out.txt: ")
    assert "500" in told()
    assert any("/x/1/out.txt" in line for line in bench.said)
    bench.pool.kill(1, 1, "killed by ann")
    report = bench.central.end_of(1, 30.0)
    assert report.outcome is Outcome.KILLED
    assert "killed by ann" in report.message
    assert "500" in report.message
