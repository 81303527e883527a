"""The port for certificates beside the ordinary one: where it is told, with several workers, and when it cannot be."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from central.init import free_port
from tests import grid, postgres
from tests.integration.conftest import CentralMaker
from tests.integration.running_central import ROOT, RunningCentral, made_central, until

pytestmark = pytest.mark.integration

SETTINGS = """
[certificates]
port = {port}
capath = "{grid}/certificates"
rules = [{{subject = "/DC=org/*", issuer = "/DC=org/DC=example/CN=Grid CA", community = "physics", group = "muons"}}]
"""
CA = grid.authority()


@pytest.fixture
def trusted(tmp_path: Path) -> Path:
    """A folder with a grid's authority in it."""
    CA.trust(tmp_path / "certificates")
    return tmp_path


def ask(central: RunningCentral, port: int, who: Path) -> requests.Response:
    """With a new connection."""
    return requests.post(
        f"https://localhost:{port}/v1/login/certificate",
        data=json.dumps({}),
        headers={"Content-Type": "application/json"},
        cert=str(who),
        verify=central.ca,
        timeout=60,
    )


def log_in(central: RunningCentral, port: int, who: Path) -> str:
    """Returns the token."""
    answer = ask(central, port, who)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["token"])


def knows(central: RunningCentral, token: str) -> bool:
    """Whether whichever worker gets the connection knows a token."""
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{central.url}/v1/whoami", headers=headers, verify=central.ca, timeout=60).status_code == 200


@pytest.mark.skipif(bool(postgres.missing()), reason=postgres.missing() or "there is a PostgreSQL")
def test_several_workers(make_central: CentralMaker, trusted: Path) -> None:
    """Each worker takes logins at that port, and what one gives is good at all of them as soon as they have heard."""
    port = free_port()
    service = f'workers = 2\ndatabase = "{postgres.cluster().database()}"'
    central = make_central(service, more=SETTINGS.format(port=port, grid=trusted))
    who = CA.issue(grid.person("Ada")).write(trusted / "ada.pem")
    for _ in range(6):
        token = log_in(central, port, who)
        for _ in range(4):
            until(lambda token=token: knows(central, token), "a worker to know the token")  # type: ignore[misc]
    assert "worker 1" in central.words()
    assert central.end() == 0


def test_it_is_told_where(make_central: CentralMaker, trusted: Path) -> None:
    """The line after `ready` says where the port is; an ordinary stop ends both."""
    port = free_port()
    central = make_central(more=SETTINGS.format(port=port, grid=trusted))
    process = central.process
    assert process is not None
    assert process.stdout is not None
    assert process.stdout.readline() == f"certificates https://localhost:{port}\n".encode()
    assert log_in(central, port, CA.issue(grid.person("Ada")).write(trusted / "ada.pem"))
    assert central.end() == 0
    with socket.socket() as again:
        again.bind(("127.0.0.1", port))


def test_who_does_not_say_with_what(make_central: CentralMaker, trusted: Path) -> None:
    """Where certificates are the only way to log in, whoever shows none is told to."""
    central = make_central(more=SETTINGS.format(port=free_port(), grid=trusted))
    words = ["login", "--folder", str(trusted / "mine"), "--url", central.url, "--ca", central.ca]
    done = subprocess.run(
        [sys.executable, "-m", "pilotage", *words], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.returncode == 1
    assert "with certificates: say --proxy, or --certificate" in " ".join(done.stderr.split())


def test_one_file_with_all_authorities(make_central: CentralMaker, trusted: Path) -> None:
    """Authorities and their lists may lie in one file; a list in it counts as one in a folder."""
    ada, ben = CA.issue(grid.person("Ada")), CA.issue(grid.person("Ben"))
    CA.trust(trusted / "certificates", revoked=(ben.certificate,))
    content = b"".join(path.read_bytes() for path in sorted((trusted / "certificates").iterdir()))
    (trusted / "all.pem").write_bytes(content)
    port = free_port()
    settings = SETTINGS.format(port=port, grid=trusted).replace("capath", "cafile").replace("/certificates", "/all.pem")
    central = make_central(more=settings)
    assert log_in(central, port, ada.write(trusted / "ada.pem"))
    refused = ask(central, port, ben.write(trusted / "ben.pem"))
    assert (refused.status_code, refused.json()["type"]) == (403, "forbidden")
    assert "CN=Ben by /DC=org/DC=example/CN=Grid CA has been revoked" in refused.json()["detail"]


@pytest.mark.parametrize(("certificates", "connections"), [(False, 2488), (True, 1976)])
def test_where_files_are_few(make_central: CentralMaker, trusted: Path, certificates: bool, connections: int) -> None:
    """What callers with certificates have open is left for them: where files are few, the ordinary port has fewer."""
    few = "import resource, runpy; resource.setrlimit(resource.RLIMIT_NOFILE, (3000, 3000)); "
    more = SETTINGS.format(port=free_port(), grid=trusted) if certificates else ""
    central = make_central(more=more, program=("-c", few + "runpy.run_module('central', run_name='__main__')"))
    assert f"files=3000 connections={connections} max_connections=10000" in central.words()


def cannot_begin(tmp_path: Path, settings: str) -> str:
    """Start a central that is to say why it does not begin."""
    done = made_central(tmp_path / "central", more=settings).run("serve")
    assert done.returncode == 1
    return " ".join(done.stderr.split())


def remove_lists(folder: Path) -> None:
    for path in (folder / "certificates").glob("*.r0"):
        path.unlink()


def remove_all(folder: Path) -> None:
    for path in (folder / "certificates").iterdir():
        path.unlink()
    (folder / "certificates").rmdir()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [(remove_lists, "has no revocation lists"), (remove_all, "where [certificates] has its authorities, is not there")],
)
def test_where_nobody_could_log_in(trusted: Path, spoil: Callable[[Path], None], says: str) -> None:
    """A central that could let nobody in says so when it starts."""
    spoil(trusted)
    assert says in cannot_begin(trusted, SETTINGS.format(port=free_port(), grid=trusted))


def test_somebody_else_at_that_port(trusted: Path) -> None:
    """Who is in the way is told with the name of the setting."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        said = cannot_begin(trusted, SETTINGS.format(port=other.getsockname()[1], grid=trusted))
    assert "central.toml: certificates.port: cannot listen on 127.0.0.1" in said


def test_without_the_package(tmp_path: Path) -> None:
    """All of the central but this can be imported where the package is not installed; who wants it is told which is."""
    program = (
        "import sys\nsys.modules['OpenSSL'] = None\n"
        "import central.app, central.routes, central.serving.serve, central.configuration.settings_file\n"
        "assert not [name for name in sys.modules if name.startswith('central.login.voms')]\n"
        "from pathlib import Path\n"
        "from central.configuration.certificates import CertificateLogin\n"
        "from central.configuration.settings import CentralSettings\n"
        "from pilot.errors import PilotageError\n"
        "try:\n"
        "    central.app._certificates(CentralSettings(certificates=CertificateLogin(1, ())), Path('/'))\n"
        "except PilotageError as error:\n"
        "    assert 'install pilotage[central,voms]' in str(error), error\n"
        "else:\n"
        "    raise AssertionError('it was there')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stderr
