"""Logging in with certificates of a grid: proxies and attributes as its own tools make them, to a submitted job."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from central.init import free_port
from central.trust.expiry import read_proxy
from pilotage import Client
from pilotage.connection import known_central
from tests import grid
from tests.integration.running_central import RunningCentral, serving
from tests.patience import PATIENCE

TOP = Path(__file__).resolve().parents[2]
PLACE = Path(os.environ.get("VOMS_PLACE", "/var/tmp/pilotage-testbeds/voms"))
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not (PLACE / "vomsdir").exists(), reason="what this needs is set up by the lane voms"),
]
AUTHORITY = "/DC=org/DC=example/CN=Grid authority"
SETTINGS = """
[certificates]
port = {port}
capath = "{place}/certificates"
vomsdir = "{place}/vomsdir"
rules = [
    {{value = "/physics/muons/Role=admin", community = "physics", group = "muons", role = "group-admin"}},
    {{value = "/physics/muons", community = "physics", group = "muons"}},
    {{subject = "/DC=org/DC=example/OU=people/CN=Sue", issuer = "{issuer}", community = "physics", group = "tau"}},
]
people = [{{subject = "/DC=org/DC=example/OU=people/CN=Ada Lovelace", issuer = "{issuer}", user = "ada"}}]
"""
ADMIN = ("/physics", "/physics/muons", "/physics/muons/Role=admin/Capability=NULL")


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[RunningCentral]:
    settings = SETTINGS.format(port=port, place=PLACE, issuer=AUTHORITY)
    with serving(tmp_path_factory.mktemp("voms"), settings) as central:
        yield central


def make_proxy(folder: Path, who: str, *fqans: str, vo: str = "physics", more: tuple[str, ...] = ()) -> Path:
    """A proxy as `voms-proxy-init` makes one, with attributes signed with the VOMS server's key."""
    path = folder / f"proxy-of-{who}"
    attributes = [word for fqan in fqans for word in ("-fqan", fqan)]
    server = ["-hostcert", f"{PLACE}/voms.pem", "-hostkey", f"{PLACE}/voms.key", "-uri", "voms.example.org:15000"]
    command = [
        *("voms-proxy-fake", "-rfc", "-hours", "2", "-vomslife", "2", "-certdir", f"{PLACE}/certificates"),
        *("-cert", f"{PLACE}/{who}.pem", "-key", f"{PLACE}/{who}.key", "-out", str(path)),
        *([*server, "-voms", vo, *attributes] if fqans else []),
        *more,
    ]
    made = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert path.exists(), made.stdout + made.stderr
    return path


def run(*words: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pilotage", *words],
        cwd=TOP,
        capture_output=True,
        text=True,
        timeout=60 * PATIENCE,
        env={**os.environ, **(environment or {})},
    )


def log_in(here: RunningCentral, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return run("login", "--folder", str(folder), "--url", here.url, "--ca", here.ca, *more)


def refused(here: RunningCentral, folder: Path, *more: str) -> str:
    """What whoever is not let in reads, in one line."""
    done = log_in(here, folder, *more)
    assert done.returncode == 1, done.stdout
    assert not folder.exists()
    return " ".join(done.stderr.split())


def test_from_a_proxy_to_a_submitted_job(here: RunningCentral, tmp_path: Path) -> None:
    """Who has a proxy with attributes works as they say, until the proxy ends; nobody types anything."""
    mine = tmp_path / "mine"
    done = log_in(here, mine, "--proxy", str(make_proxy(tmp_path, "ada", *ADMIN)))
    assert done.returncode == 0, done.stderr
    assert "Logged in as ada, group-admin of muons in physics." in done.stdout
    token = known_central(mine).token
    assert token not in done.stdout + done.stderr + here.words()
    (tmp_path / "job.yaml").write_text("command: [echo, hello]\n")
    submitted = run("submit", "--folder", str(mine), str(tmp_path / "job.yaml"))
    assert submitted.returncode == 0, submitted.stderr
    with Client.from_folder(mine) as client:
        (job,) = client.jobs()
        assert (job.owner, job.group, job.community) == ("ada", "muons", "physics")
        (kept,) = (one for one in client.tokens() if one.name == "login")
        assert kept.expires == pytest.approx(time.time() + 7200, abs=600)
    assert run("logout", "--folder", str(mine)).returncode == 0
    assert here.person(None).get("/v1/jobs", headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_the_proxy_that_the_tools_would_use(here: RunningCentral, tmp_path: Path) -> None:
    """Without a name it is the proxy of the environment."""
    proxy = make_proxy(tmp_path, "ada", "/physics", "/physics/muons")
    words = ("login", "--folder", str(tmp_path / "mine"), "--url", here.url, "--ca", here.ca, "--proxy")
    done = run(*words, environment={"X509_USER_PROXY": str(proxy)})
    assert done.returncode == 0, done.stderr
    assert "Logged in as ada, member of muons in physics." in done.stdout


def test_a_proxy_of_a_proxy(here: RunningCentral, tmp_path: Path) -> None:
    """A proxy that was delegated counts as the one that it stands on; which says how many more there may be."""
    first = grid.read(make_proxy(tmp_path, "ada", "/physics/muons"))
    second = grid.proxy(first).write(tmp_path / "second")
    done = log_in(here, tmp_path / "mine", "--proxy", str(second))
    assert done.returncode == 0, done.stderr
    assert "Logged in as ada, member of muons" in done.stdout
    third = grid.proxy(grid.read(second)).write(tmp_path / "third")
    assert "it does not verify" in refused(here, tmp_path / "another", "--proxy", str(third))


def test_a_certificate_and_its_key(here: RunningCentral, tmp_path: Path) -> None:
    """A plain certificate is as good where a rule is about its subject; the user is called by name and digest."""
    words = ("--certificate", f"{PLACE}/sue.pem", "--key", f"{PLACE}/sue.key")
    done = log_in(here, tmp_path / "mine", *words)
    assert done.returncode == 0, done.stderr
    assert "Logged in as sue-" in done.stdout
    assert "member of tau in physics." in done.stdout


def test_who_is_not_let_in(here: RunningCentral, tmp_path: Path) -> None:
    """Each is told why: a limited proxy, attributes that have ended, of another VO, none at all."""
    mine = tmp_path / "mine"
    limited = make_proxy(tmp_path, "ada", *ADMIN, more=("-limited",))
    assert "This is a limited proxy, which may not log in" in refused(here, mine, "--proxy", str(limited))
    old = make_proxy(tmp_path, "ada", *ADMIN, more=("-pastac", "5:00"))
    assert "an attribute certificate in the proxy has ended" in refused(here, mine, "--proxy", str(old))
    other = make_proxy(tmp_path, "ada", "/chemistry", vo="chemistry")
    assert "not known here as a server of the VO chemistry" in refused(here, mine, "--proxy", str(other))
    none = make_proxy(tmp_path, "ben")
    said = refused(here, mine, "--proxy", str(none))
    assert f"/DC=org/DC=example/OU=people/CN=Ben by {AUTHORITY} has no VOMS attributes that count" in said


def test_files_that_are_not_as_they_must_be(here: RunningCentral, tmp_path: Path) -> None:
    """A proxy that others can read, a key of another certificate, a file that is not there: each has its sentence."""
    mine = tmp_path / "mine"
    proxy = make_proxy(tmp_path, "ada", *ADMIN)
    proxy.chmod(0o644)
    assert f"others can read it: chmod 600 {proxy}" in refused(here, mine, "--proxy", str(proxy))
    words = ("--certificate", f"{PLACE}/ada.pem", "--key", f"{PLACE}/ben.key")
    assert "the key is not that of the certificate" in refused(here, mine, *words)
    assert "cannot be read" in refused(here, mine, "--proxy", str(tmp_path / "nothing"))


def test_a_certificate_that_was_revoked(here: RunningCentral, tmp_path: Path) -> None:
    """Once the authority's list has it, its owner is not let in any more, and reads why; the list is read each time."""
    mine = tmp_path / "mine"
    proxy = make_proxy(tmp_path, "ben", "/physics/muons")
    assert log_in(here, tmp_path / "before", "--proxy", str(proxy)).returncode == 0
    revoked = subprocess.run(
        ["tests/real/voms.sh", "revoke", "ben"], cwd=TOP, capture_output=True, text=True, timeout=60
    )
    assert revoked.returncode == 0, revoked.stderr
    said = refused(here, mine, "--proxy", str(proxy))
    assert f"The certificate of /DC=org/DC=example/OU=people/CN=Ben by {AUTHORITY} has been revoked" in said


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_another_client(here: RunningCentral, tmp_path: Path, port: int) -> None:
    """Whatever speaks TLS with a certificate can get a token."""
    proxy = make_proxy(tmp_path, "ada", "/physics/muons")
    url = f"https://localhost:{port}/v1/login/certificate"
    words = ["curl", "--silent", "--show-error", "--cacert", here.ca, "--json", "{}", url]
    done = subprocess.run([*words, "--cert", str(proxy)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["user"] == "ada"
    nobody = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert "certificate required" in nobody.stderr


def test_what_a_proxy_says_of_itself(tmp_path: Path) -> None:
    """Of a proxy that is kept as a credential its attributes and its end are told, as the tools have made it."""
    found = read_proxy(make_proxy(tmp_path, "ada", *ADMIN).read_text())
    assert found.attributes == ADMIN
    assert found.ends == pytest.approx(time.time() + 7200, abs=600)
    assert found.subject.endswith("CN=Ada Lovelace,OU=people,DC=example,DC=org")
