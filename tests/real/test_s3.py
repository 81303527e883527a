"""Outputs to and inputs from a real S3 server: whole, in parts, and refused; and the keys stay at the central."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from central.trust.presigning import Storage, presign
from pilot.states import Outcome
from tests.real.storage_scene import LANES, Scene, storage_scene

PLACE = LANES / "s3"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not (PLACE / "url").exists(), reason="what this needs is set up by the lane s3"),
]
CA = PLACE / "ca.pem"
SECRET = "an-s3-key-that-nobody-else-may-see"


@pytest.fixture(scope="module")
def url() -> str:
    return (PLACE / "url").read_text().strip()


@pytest.fixture(scope="module")
def scene(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with storage_scene(tmp_path_factory.mktemp("s3"), CA) as scene:
        values = {"endpoint": url, "access_key": "AKIAEXAMPLE", "secret_key": SECRET}
        scene.keep("lake", "s3", values, "s3://results/", "s3://nowhere/")
        yield scene


@pytest.fixture
def bucket(url: str) -> str:
    """The URL of a bucket, which anybody may look into."""
    assert requests.put(f"{url}/results", verify=str(CA)).status_code in (200, 409)
    return f"{url}/results"


def answer(url: str, where: str, method: str = "GET") -> requests.Response:
    """What the server says of an object, asked with a key as its owner asks."""
    bucket, _, key = where.removeprefix("s3://").partition("/")
    signed = presign(Storage(url, "AKIAEXAMPLE", SECRET), method, bucket, key, now=time.time(), seconds=60)
    return requests.request(method, signed.url, verify=str(CA), timeout=30)


def content(url: str, where: str) -> bytes:
    found = answer(url, where)
    assert found.status_code == 200, found.text
    return found.content


def test_a_small_output(scene: Scene, url: str, bucket: str) -> None:
    """An output is in the bucket under its name, and its job says where."""
    to = {"path": "*.txt", "to": ["s3://results/{job}/"]}
    attempt = scene.run("printf hello > 'a b.txt'", outputs=[to], credentials=["lake"])
    assert attempt.outcome is Outcome.SUCCESS, attempt
    (output,) = attempt.outputs
    (where,) = output.where
    assert where.startswith("s3://results/")
    assert where.endswith("/a b.txt")
    assert content(url, where) == b"hello"


def test_a_large_output_in_parts(scene: Scene, url: str, bucket: str) -> None:
    """What is larger than a part arrives whole, made of parts."""
    script = "head -c 150000000 /dev/urandom > big; sha256sum big"
    attempt = scene.run(script, outputs=[{"path": "big", "to": "s3://results/big"}], credentials=["lake"])
    assert attempt.outcome is Outcome.SUCCESS, attempt
    assert answer(url, "s3://results/big", "HEAD").headers["ETag"].strip('"').endswith("-3")
    assert hashlib.sha256(content(url, "s3://results/big")).hexdigest() == attempt.outputs[0].sha256


def test_an_empty_output(scene: Scene, url: str, bucket: str) -> None:
    """A file without a byte is a file."""
    attempt = scene.run(": > none", outputs=[{"path": "none", "to": "s3://results/none"}], credentials=["lake"])
    assert attempt.outcome is Outcome.SUCCESS, attempt
    assert content(url, "s3://results/none") == b""


def test_an_input(scene: Scene, bucket: str) -> None:
    """An input comes from a bucket as from anywhere, verified."""
    requests.put(f"{bucket}/in.csv", data=b"1,2,3\n", verify=str(CA))
    digest = hashlib.sha256(b"1,2,3\n").hexdigest()
    inputs = [{"url": "s3://results/in.csv", "sha256": digest}]
    attempt = scene.run("grep -q 1,2,3 in.csv", inputs=inputs, credentials=["lake"])
    assert attempt.outcome is Outcome.SUCCESS, attempt
    missing = scene.run("true", inputs=[{"url": "s3://results/missing"}], credentials=["lake"])
    assert missing.outcome is Outcome.INPUT_ERROR
    assert "404" in missing.message


def test_a_bucket_that_is_not_there(scene: Scene, bucket: str) -> None:
    """The storage's own reason is in the message, and the next destination is taken."""
    to = {"path": "a.txt", "to": ["s3://nowhere/a.txt", "sandbox"]}
    attempt = scene.run("printf hello > a.txt", outputs=[to], credentials=["lake"])
    assert attempt.outcome is Outcome.SUCCESS, attempt
    assert attempt.outputs[0].where == ("sandbox",)
    assert "NoSuchBucket" in attempt.message


def test_a_bucket_that_the_credential_is_not_for(scene: Scene, bucket: str) -> None:
    """Nothing is signed for what no credential of the job covers."""
    to = {"path": "a.txt", "to": "s3://another/a.txt"}
    attempt = scene.run("printf hello > a.txt", outputs=[to], credentials=["lake"])
    assert attempt.outcome is Outcome.OUTPUT_ERROR
    assert "no credential of the kind s3" in attempt.message


def test_the_key_stays_at_the_central(scene: Scene) -> None:
    """After all of that the secret key is in no file of the pilot."""
    files = [path for path in Path(scene.pilot.folder).rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
