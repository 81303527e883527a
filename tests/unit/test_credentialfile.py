"""The file with the credentials of a job that runs without a central."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilot.credentialfile import trusted, untrusted
from pilot.errors import InvalidInput, InvalidJob
from pilot.onejob import OneJob
from pilot.protocol import Credential, JobSpec

WRITTEN = """\
licence: {text: "open sesame"}
eos: {kind: bearer, token: open-sesame, urls: ["https://eos.example/a/"]}
lake: {kind: s3, endpoint: "https://s3.example", access_key: AK, secret_key: open-sesame, urls: ["s3://lake/"]}
unused: {kind: nonsense}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path / "credentials.yaml", WRITTEN)


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def job(*names: str) -> OneJob:
    return OneJob("fit", JobSpec(("true",), credentials=names), {})


def test_what_the_job_names_is_taken(file: Path) -> None:
    """Each with its kind and URLs, in the job's order; of s3 only what it is for, as a central would give it."""
    assert trusted(job("eos", "licence", "lake", "eos"), file).credentials == (
        Credential("eos", "bearer", {"token": "open-sesame"}, ("https://eos.example/a/",)),
        Credential("licence", "text", {"text": "open sesame"}),
        Credential("lake", "s3", {}, ("s3://lake/",)),
    )
    assert trusted(job(), file).credentials == ()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660])
def test_a_file_that_others_reach_is_refused(file: Path, mode: int) -> None:
    """And the sentence says how to close it."""
    file.chmod(mode)
    with pytest.raises(InvalidInput, match="chmod 600"):
        trusted(job("eos"), file)


def test_a_job_that_asks_for_some_needs_a_file() -> None:
    """Without it the names are told; a job that asks for none goes on."""
    with pytest.raises(InvalidInput, match="eos"):
        untrusted(job("eos"))
    assert untrusted(job()).credentials == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected names"),
        ("[a, b]", "expected names"),
        ("eos: open-sesame", "expected a mapping under 'eos'"),
        ("other: {text: open-sesame}", "expected a mapping under 'eos'"),
        ("eos: {kind: nonsense, token: open-sesame}", "eos.kind"),
        ("eos: {kind: bearer, token: 12345678}", "expected texts"),
        ("eos: {kind: bearer, token: open-sesame, urls: https://h/}", "expected texts"),
        ("eos: {kind: bearer, token: open sesame}", "eos.values.token"),
        ("eos: {kind: bearer, token: open-sesame", "not YAML"),
        ("eos: open-sesame: open-sesame", "not YAML (line 1)"),
    ],
)
def test_a_wrong_file_is_told_without_a_secret(tmp_path: Path, text: str, told: str) -> None:
    """Whatever is wrong, the sentence says where, and nothing of what stands there."""
    with pytest.raises((InvalidInput, InvalidJob)) as problem:
        trusted(job("eos"), written(tmp_path / "credentials.yaml", text))
    assert told in str(problem.value)
    assert "sesame" not in str(problem.value)
    assert "1234" not in str(problem.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Its name and the reason are told."""
    with pytest.raises(InvalidInput, match="absent"):
        trusted(job("eos"), tmp_path / "absent")
