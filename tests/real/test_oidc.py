"""Logging in with a real OpenID Connect provider: with a code in a terminal, and with a browser; to a submitted job."""

from __future__ import annotations

import html
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from pilotage import Client
from pilotage.connection import known_central
from tests.integration.running_central import RunningCentral, serving
from tests.patience import PATIENCE
from tests.system import wait_for

TOP = Path(__file__).resolve().parents[2]
PLACE = Path(os.environ.get("OIDC_PLACE", "/var/tmp/pilotage-testbeds/oidc"))
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not (PLACE / "url").exists(), reason="what this needs is set up by the lane oidc"),
]
CA = PLACE / "ca.pem"

LOGIN = """
[login]
issuer = "{issuer}"
client_id = "{client}"
{secret}
ca = "{ca}"
user = "preferred_username"
life = "1 h"
rules = [
    {{value = "/physics/*/admins", community = "physics", group = "muons", role = "group-admin"}},
    {{value = "/physics/muons", community = "physics", group = "muons"}},
    {{value = "/physics/tau", community = "physics", group = "tau"}},
]
"""


class Browser(requests.Session):
    """Somebody's browser, driven as far as the pages of the provider need it. The password is the name."""

    def __init__(self, user: str) -> None:
        super().__init__()
        self.user = user
        self.verify = str(CA)
        self.trust_env = False

    def visit(self, url: str) -> requests.Response:
        """Open a page, and log in where that is asked first."""
        page = self.get(url, timeout=30)
        if "/login/" in page.url:
            page = self.submit(page, username=self.user, password=self.user)
        assert page.ok, page.text
        return page

    def submit(self, page: requests.Response, **values: str) -> requests.Response:
        """Send the form of a page, with what it holds already."""
        held = {}
        for field in re.findall(r"<input[^>]*>", page.text):
            said = dict(re.findall(r"""(\w+)=["']([^"']*)["']""", field))
            if "name" in said:
                held[said["name"]] = html.unescape(said.get("value", ""))
        held = {name: value for name, value in held.items() if name != "allow"} | values
        return self.post(page.url, data=held, headers={"Referer": page.url}, timeout=30)

    def enter_code(self, url: str, code: str, action: str = "accept") -> None:
        """What the terminal asks for."""
        confirm = self.submit(self.visit(url), user_code=code)
        assert "requests access" in confirm.text, confirm.text
        assert self.submit(confirm, action=action).ok


class Terminal:
    """`pilotage …` in a terminal of its own."""

    def __init__(self, *words: str, environment: dict[str, str] | None = None) -> None:
        ours, theirs = pty.openpty()
        self._ours = ours
        self._said = bytearray()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pilotage", *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=TOP,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            while block := os.read(self._ours, 4096):
                self._said += block
        except OSError:  # the other end is closed
            pass

    @property
    def said(self) -> str:
        return self._said.decode().replace("\r\n", "\n")

    def waits_with(self, pattern: str) -> re.Match[str]:
        """What it shows, once it does."""

        def shown() -> re.Match[str] | None:
            ended = self.process.poll() is not None
            found = re.search(pattern, self.said)
            assert found or not ended, f"ended without {pattern}: {self.said}"
            return found

        return wait_for(shown, 30, f"{pattern} in a terminal", lambda: self.said)

    def end(self) -> int:
        code = self.process.wait(60 * PATIENCE)
        self._reader.join(10)
        os.close(self._ours)
        return code


@contextmanager
def central(folder: Path, client: str = "pilotage", secret: str = "") -> Iterator[RunningCentral]:
    issuer = (PLACE / "url").read_text().strip()
    login = LOGIN.format(issuer=issuer, client=client, ca=CA, secret=secret)
    with serving(folder, login) as central:
        yield central


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCentral]:
    with central(tmp_path_factory.mktemp("oidc") / "central") as running:
        yield running


def words(here: RunningCentral, folder: Path, *more: str) -> list[str]:
    return ["login", "--folder", str(folder), "--url", here.url, "--ca", here.ca, *more]


def log_in(here: RunningCentral, user: str, folder: Path, *more: str) -> tuple[int, str]:
    """Log in with a code. Returns the exit code and what the terminal shows."""
    terminal = Terminal(*words(here, folder, *more))
    found = terminal.waits_with(r"Open (\S+) in a browser, and enter the code (\S+)")
    Browser(user).enter_code(found[1], found[2])
    return terminal.end(), terminal.said


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pilotage", *words], cwd=TOP, capture_output=True, text=True, timeout=60 * PATIENCE
    )


def test_with_a_code_in_a_terminal_to_a_submitted_job(here: RunningCentral, tmp_path: Path) -> None:
    """Whoever enters the code that a terminal shows may submit from there, as whom the provider says, until they log
    out; the token is in a file for its owner alone."""
    mine = tmp_path / "mine"
    code, said = log_in(here, "ada", mine)
    assert code == 0, said
    assert "Logged in as ada, member of muons in physics." in said
    assert (mine / "client.toml").stat().st_mode & 0o777 == 0o600
    token = known_central(mine).token
    assert token not in said
    (tmp_path / "job.yaml").write_text("command: [echo, hello]\n")
    submitted = run("submit", "--folder", str(mine), str(tmp_path / "job.yaml"))
    assert submitted.returncode == 0, submitted.stderr
    with Client.from_folder(mine) as client:
        (job,) = client.jobs()
        assert (job.owner, job.group, job.community) == ("ada", "muons", "physics")
    assert "login" in run("token", "list", "--folder", str(mine)).stdout
    out = run("logout", "--folder", str(mine))
    assert out.returncode == 0, out.stderr
    assert "pilotage login" in run("jobs", "--folder", str(mine)).stderr
    assert here.person(None).get("/v1/jobs", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert token not in here.words()


def test_with_a_browser_on_this_machine(here: RunningCentral, tmp_path: Path) -> None:
    """With --browser nobody types a code: the provider sends the browser back to this machine, with PKCE."""
    terminal = Terminal(*words(here, tmp_path / "mine", "--browser", "--group", "tau"), environment={"BROWSER": "true"})
    url = terminal.waits_with(r"this machine: (\S+)")[1]
    browser = Browser("ben")
    done = browser.submit(browser.visit(url), allow="Authorize")
    assert "Go back to the terminal" in done.text
    assert terminal.end() == 0, terminal.said
    assert "Logged in as ben, member of tau in physics." in terminal.said
    with Client.from_folder(tmp_path / "mine") as client:
        assert client.whoami().user == "ben"


def test_a_browser_that_says_no(here: RunningCentral, tmp_path: Path) -> None:
    """Who does not let the client know who they are is not logged in, and is told so."""
    terminal = Terminal(*words(here, tmp_path / "mine", "--browser"), environment={"BROWSER": "true"})
    url = terminal.waits_with(r"this machine: (\S+)")[1]
    browser = Browser("ben")
    browser.submit(browser.visit(url))
    assert terminal.end() == 1
    assert "refused at the provider" in terminal.said
    assert not (tmp_path / "mine").exists()


def test_a_code_that_is_denied(here: RunningCentral, tmp_path: Path) -> None:
    """A code that its owner denies ends the login with a sentence."""
    terminal = Terminal(*words(here, tmp_path / "mine"))
    found = terminal.waits_with(r"Open (\S+) in a browser, and enter the code (\S+)")
    Browser("ada").enter_code(found[1], found[2], "deny")
    assert terminal.end() == 1
    assert "denied at the provider" in terminal.said


@pytest.mark.parametrize(("user", "why"), [("zoe", "groups = '/chemistry'"), ("nil", "no groups")])
def test_groups_that_mean_nothing_here(here: RunningCentral, tmp_path: Path, user: str, why: str) -> None:
    """Whom the provider knows and no rule lets in is refused, and told what the provider says."""
    code, said = log_in(here, user, tmp_path / "mine")
    assert code == 1
    flat = " ".join(said.split())
    assert f"{why} of {user}, which lets nobody in here" in flat.replace(f"says {why}", why)
    assert not (tmp_path / "mine").exists()


def test_the_highest_role_that_groups_give(here: RunningCentral, tmp_path: Path) -> None:
    """Who is in several groups gets the first that rules name, in the role that they say, and is told the others."""
    code, said = log_in(here, "ben", tmp_path / "mine")
    assert code == 0, said
    assert "Logged in as ben, group-admin of muons in physics." in said
    assert "tau of physics" in said


def test_a_client_with_a_secret(tmp_path: Path) -> None:
    """Where the provider knows the client by a secret, that stays at the central, which speaks for its clients."""
    (tmp_path / "secret").write_text("a secret of the client\n")
    (tmp_path / "secret").chmod(0o600)
    secret = f'secret_file = "{tmp_path / "secret"}"'
    with central(tmp_path / "central", "pilotage-with-secret", secret) as running:
        offer = running.person(None).get("/v1/login").text
        assert "a secret of the client" not in offer
        code, said = log_in(running, "ada", tmp_path / "mine")
        assert code == 0, said
        terminal = Terminal(*words(running, tmp_path / "mine", "--browser"), environment={"BROWSER": "true"})
        url = terminal.waits_with(r"this machine: (\S+)")[1]
        browser = Browser("ada")
        browser.submit(browser.visit(url), allow="Authorize")
        assert terminal.end() == 0, terminal.said


def test_another_signing_key(here: RunningCentral, tmp_path: Path) -> None:
    """When the provider changes its key, the next login works: the central reads the keys anew."""
    code, said = log_in(here, "ada", tmp_path / "mine")
    assert code == 0, said
    rotated = subprocess.run(["tests/real/oidc.sh", "rotate"], cwd=TOP, capture_output=True, text=True, timeout=120)
    assert rotated.returncode == 0, rotated.stdout
    code, said = log_in(here, "ada", tmp_path / "mine")
    assert code == 0, said
