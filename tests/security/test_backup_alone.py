"""Whoever has a backup of the database and nothing else: what is in its bytes, what a central makes of it without the
key ring or with another, and that it is whole again with the right one."""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pilot.errors import Refusal
from pilot.login import LoggedIn
from pilot.people import MadeToken
from pilot.places import OpenedEnrolment, OpenEnrolmentRequest
from pilot.protocol import Lease
from pilot.transfers import UploadReply, UploadRequest
from tests import chosen_store
from tests.integration.conftest import CentralMaker
from tests.integration.running_central import Person, RunningCentral, make_folder, token_of, until
from tests.integration.wire_pilot import SignedPilot, decoded
from tests.proxies import proxy
from tests.security.conftest import UNCOUNTED
from tests.security.loopback_provider import LoopbackProvider

pytestmark = pytest.mark.skipif(chosen_store.NAME != "sqlite", reason="PostgreSQL is copied with pg_dump")

LOGIN = """
[login]
issuer = "{issuer}"
client_id = "pilotage"
loopback_http = true
secret_file = "{secret_file}"
rules = [{{value = "/muons", community = "physics", group = "muons"}}]
"""
#: What people trusted the central with, by the name that it has there.
KEPT: Mapping[str, tuple[str, dict[str, str]]] = {
    "note": ("text", {"text": "the-horse-is-in-the-well"}),
    "store": ("bearer", {"token": "correct-horse-battery"}),
    "share": ("basic", {"user": "ann", "password": "staple-of-the-horse"}),
    "cloud": ("application-credential", {"id": "id-of-the-horse", "secret": "cloud-of-the-battery"}),
    "market": ("access-key", {"access_key": "AKIAOFTHESTAPLE", "secret_key": "market/battery+staple"}),
    "grid": ("x509-proxy", {"proxy": proxy(time.time() + 86400)}),
    "lake": (
        "s3",
        {"endpoint": "https://s3.example:9000", "access_key": "AKIAOFTHEHORSE", "secret_key": "horse/battery+staple"},
    ),
}
URLS = {"store": "https://store.example/ann/", "share": "https://share.example/", "lake": "s3://lake/"}


@dataclass
class Scene:
    """A central that had all of it to keep, and the secrets of everybody who was there, by what they are."""

    central: RunningCentral
    pilot: SignedPilot
    lease: Lease
    backup: Path
    secrets: dict[str, bytes] = field(default_factory=dict)


@pytest.fixture(scope="module")
def scene(make_central: CentralMaker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("kept")
    secret_file = folder / "client-secret"
    secret_file.write_text("what-the-provider-knows-us-by")
    secret_file.chmod(0o600)
    with LoopbackProvider().serving() as provider:
        login = LOGIN.format(issuer=provider.issuer, secret_file=secret_file)
        central = make_central(UNCOUNTED, more=login)
        pilot = central.pilot()
        scene = Scene(central, pilot, _kept(central, pilot), folder / "central.backup")
        scene.secrets |= {"the client's secret": secret_file.read_bytes(), **_of_people(central, provider)}
        scene.secrets |= {**_of_pilots(central, pilot, scene.lease), **_of_the_folder(central)}
        until(lambda: central.store(lambda store: store.unlinked(1)).last, "a link of the audit")
        done = central.run("backup", str(scene.backup))
        assert done.returncode == 0, done.stderr
        yield scene


def _kept(central: RunningCentral, pilot: SignedPilot) -> Lease:
    """Ann keeps her secrets, and a pilot gets them with a job."""
    ann = central.person("ann")
    for name, (kind, values) in KEPT.items():
        body = json.dumps({"kind": kind, "values": values, "urls": [URLS[name]] if name in URLS else []})
        answer = ann.put(f"/v1/credentials/{name}", data=body)
        assert answer.status_code == 200, answer.text
    removed = json.dumps({"kind": "text", "values": {"text": "removed-long-ago"}})
    assert ann.put("/v1/credentials/gone", data=removed).ok
    assert ann.delete("/v1/credentials/gone").ok
    ann.submit_one(credentials=list(KEPT))
    (lease,) = pilot.match().leases
    assert {one.name for one in lease.credentials} == set(KEPT)
    return lease


def _of_people(central: RunningCentral, provider: LoopbackProvider) -> dict[str, bytes]:
    oli = central.person("oli")
    made = oli.say("/v1/tokens", {"scopes": ["read"]}, MadeToken)
    id_token = provider.token(nonce="a-nonce-of-ada-s")
    nobody = central.person(None)
    login = nobody.post("/v1/login", data=json.dumps({"id_token": id_token, "nonce": "a-nonce-of-ada-s"}))
    opened = oli.say("/v1/enrolments", OpenEnrolmentRequest("local", 3, 3600), OpenedEnrolment)
    return {
        "a token of the settings": token_of("ann").encode(),
        "a token that was made": made.token.encode(),
        "a token of a login": decoded(login, LoggedIn).token.encode(),
        "an ID token": id_token.encode(),
        "its signature": id_token.rpartition(".")[2].encode(),
        "its nonce": b"a-nonce-of-ada-s",
        "an enrolment token": opened.token.encode(),
        **{f"{name} {key}": value.encode() for name, (_, values) in KEPT.items() for key, value in secret(values)},
        "what was removed": b"removed-long-ago",
    }


def secret(values: Mapping[str, str]) -> list[tuple[str, str]]:
    """What of a credential nobody may see: not where it is for, nor who somebody is there; of a text its line with the
    key, since lines are put together otherwise elsewhere."""
    said = [(key, value) for key, value in values.items() if key not in ("endpoint", "user")]
    return [(key, value.partition("PRIVATE KEY-----\n")[2].partition("\n")[0] or value) for key, value in said]


def _of_pilots(central: RunningCentral, pilot: SignedPilot, lease: Lease) -> dict[str, bytes]:
    stamp, secret = central.plan()
    signed = _presigned(central, lease).whole
    assert signed is not None
    return {
        "a session key": pilot.key,
        "a pilot's token": pilot.token.encode(),
        "a payload's token": lease.job_token.encode(),
        "a one-time secret that was used": pilot.secret.encode(),
        f"the one-time secret of {stamp}": secret.encode(),
        "a signature for a storage": signed.url.partition("X-Amz-Signature=")[2].partition("&")[0].encode(),
    }


def _presigned(central: RunningCentral, lease: Lease) -> UploadReply:
    payload = central.person(None)
    payload.headers["Authorization"] = f"Job {lease.job_token}"
    request = UploadRequest("s3://lake/out.root", 12, "0" * 64)
    return payload.say(f"/v1/attempts/{lease.job}/{lease.attempt}/uploads", request, UploadReply)


def _of_the_folder(central: RunningCentral) -> dict[str, bytes]:
    private = central.folder / "private"
    keys = json.loads((private / "keys.json").read_bytes())["keys"]
    owner = (central.folder / "client.toml").read_text().rpartition('token = "')[2].partition('"')[0]
    found = {f"key {number} of the ring": base64.b64decode(key["key"]) for number, key in enumerate(keys)}
    for path in private.iterdir():
        if b"PRIVATE KEY" in path.read_bytes():
            found[path.name] = path.read_bytes().split(b"PRIVATE KEY-----\n")[1][:60]
    assert len(found) >= 3
    return {**found, "the owner's token": owner.encode()}


def spellings(secret: bytes) -> set[bytes]:
    """A secret as it may stand somewhere: as it is, in hex, in base64 of either alphabet, turned round in JSON."""
    encoded = {base64.b64encode(secret).rstrip(b"="), base64.urlsafe_b64encode(secret).rstrip(b"=")}
    return {secret, secret[::-1], secret.hex().encode(), secret.hex().upper().encode(), *encoded}


def test_no_secret_is_in_the_bytes_of_a_backup(scene: Scene) -> None:
    """Of nobody: people, pilots, payloads, storages, the provider of identities, the central itself."""
    content = scene.backup.read_bytes()
    assert scene.backup.stat().st_mode & 0o777 == 0o600
    assert scene.pilot.stamp.encode() in content, "this test looks at the right bytes"
    assert len(scene.secrets) >= 20
    assert all(len(value) >= 12 for value in scene.secrets.values())
    found = [name for name, value in scene.secrets.items() for one in spellings(value) if one in content]
    assert found == []


def test_nothing_in_it_is_packed_so_that_it_could_not_be_seen(scene: Scene) -> None:
    """Nor is any value compressed, which would hide a secret from the test before this one."""
    with closing(sqlite3.connect(scene.backup)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        cells = [cell for table in tables for row in database.execute(f'SELECT * FROM "{table}"') for cell in row]
    blobs = [cell for cell in cells if isinstance(cell, bytes)]
    assert blobs, "what is sealed is bytes"
    assert not [blob for blob in blobs if blob.startswith((b"\x1f\x8b", b"x\x9c", b"x\xda", b"\x28\xb5\x2f\xfd"))]


@pytest.fixture
def stolen(scene: Scene, tmp_path: Path) -> Iterator[RunningCentral]:
    """A central of whoever has the backup: with a ring, certificates and people's tokens of their own."""
    folder = tmp_path / "stolen"
    folder.mkdir()
    central = RunningCentral(folder, make_folder(folder, UNCOUNTED))
    (folder / "given.pyz").write_bytes(b"what pilots would be started from")
    assert central.run("init", "--pilot", str(folder / "given.pyz")).returncode == 0
    done = central.run("restore", str(scene.backup))
    assert done.returncode == 0, done.stderr
    with closing(central):
        yield central


def told(person: Person) -> dict[str, str]:
    """What the list of credentials says is wrong with each."""
    found = person.get("/v1/credentials").json()["credentials"]
    return {one["name"]: one["problem"] for one in found}


def refused(pilot: SignedPilot, central: RunningCentral) -> str:
    """What a pilot of before is told there, whatever it says."""
    there = SignedPilot(central.url, central.ca, pilot.stamp, pilot.secret)
    there.key, there.token, there.epoch, there.sequence = pilot.key, pilot.token, pilot.epoch, 1000
    with closing(there.http):
        says = []
        for say in (there.heartbeat, there.match, there.renew, there.resume):
            with pytest.raises(Refusal) as caught:
                say()
            says.append(f"{caught.value.type}: {caught.value}")
    assert len(set(says)) == 1
    return says[0]


def test_without_the_ring_it_is_not_served(scene: Scene, stolen: RunningCentral) -> None:
    """A central with a ring of its own refuses it, and one without any as well."""
    done = stolen.run("serve")
    assert done.returncode == 1
    assert "was sealed under another key ring" in done.stderr
    (stolen.folder / "private" / "keys.json").unlink()
    done = stolen.run("serve")
    assert done.returncode == 1
    assert "there is no key ring" in done.stderr


def test_with_another_ring_nothing_of_it_is_opened(scene: Scene, stolen: RunningCentral) -> None:
    """Whoever goes on all the same has the names of things: no credential, and no token of before is good."""
    assert stolen.run("accept-ring").returncode == 0
    stolen.start()
    ann = stolen.person("ann")
    assert told(ann) == dict.fromkeys(KEPT, "it cannot be opened by the central")
    assert "unauthorized: the token was sealed with a key that this central does not have" in refused(
        scene.pilot, stolen
    )
    for scheme, token in (("Job", scene.lease.job_token), ("Ticket", scene.pilot.token)):
        nobody = stolen.person(None)
        nobody.headers["Authorization"] = f"{scheme} {token}"
        answer = nobody.put(f"/v1/logs/{scene.pilot.stamp}/boot?offset=0", data=b"x")
        assert answer.status_code == 401
    job = ann.submit_one(credentials=list(KEPT))
    stolen.pilot().match(most=10)
    assert "cannot be opened by the central" in ann.job(job).reason
    said = "".join(path.read_text(errors="replace") for path in stolen.folder.glob("*.log"))
    assert not [name for name, value in scene.secrets.items() if value.decode(errors="replace") in said]


def test_with_the_ring_it_is_whole_again(scene: Scene, stolen: RunningCentral) -> None:
    """On another machine too: credentials open, storages are signed for, and pilots under way go on."""
    shutil.copyfile(scene.central.folder / "private" / "keys.json", stolen.folder / "private" / "keys.json")
    stolen.start()
    ann = stolen.person("ann")
    assert told(ann) == dict.fromkeys(KEPT, "")
    pilot = SignedPilot(stolen.url, stolen.ca, scene.pilot.stamp, scene.pilot.secret)
    pilot.key, pilot.token, pilot.epoch, pilot.sequence = scene.pilot.key, scene.pilot.token, scene.pilot.epoch, 1000
    with closing(pilot.http):
        assert pilot.heartbeat().next_beat
        assert _presigned(stolen, scene.lease).whole
        ann.submit_one(credentials=list(KEPT))
        leases = stolen.pilot().match(most=10).leases
        values = {one.name: one.values for lease in leases for one in lease.credentials}
        assert values["note"] == KEPT["note"][1]
        pilot.succeed(scene.lease)
    assert "as it was noted" in stolen.run("verify-audit").stdout
