"""`pilotage.bundles`: the same folder makes the same bytes; keys and signatures."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from central.configuration.settings_pipelines import bundle_keys
from pilot.bundles import Manifest, signed_text
from pilot.errors import InvalidInput, PilotageError
from pilot.fields import Fields
from pilotage import bundles, signing
from pilotage.bundles import Built


def built(name: str = "tools") -> Built:
    return Built(Manifest(name, ()), b"content")


def public_of(text: str) -> Ed25519PublicKey:
    """The public key as the settings read it."""
    problems: list[InvalidInput] = []
    (key,) = bundle_keys(Fields({"bundle_keys": [text]}, "", problems))
    assert problems == []
    return Ed25519PublicKey.from_public_bytes(key)


def test_a_key_signs_for_its_community(tmp_path: Path) -> None:
    """What `keygen` prints verifies what its key has signed, for that community alone; the key is its owner's."""
    public = public_of(signing.make_key(tmp_path / "key"))
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    signature = signing.sign(tmp_path / "key", "physics", built())
    public.verify(signature, signed_text("physics", "tools", built().sha256))
    with pytest.raises(InvalidSignature):
        public.verify(signature, signed_text("biology", "tools", built().sha256))


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    """Where a file is, no new key is put."""
    signing.make_key(tmp_path / "key")
    with pytest.raises(InvalidInput, match="expected a place for a new key"):
        signing.make_key(tmp_path / "key")


def test_a_key_that_others_read_is_not_used(tmp_path: Path) -> None:
    """A private key with open rights is refused with what to do."""
    signing.make_key(tmp_path / "key")
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(InvalidInput, match="only its owner reads: chmod 600"):
        signing.sign(tmp_path / "key", "physics", built())


def test_what_is_no_key_is_told(tmp_path: Path) -> None:
    """A file that holds something else is named."""
    (tmp_path / "key").write_text("hello")
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(InvalidInput, match="expected the key that `pilotage bundle keygen` made"):
        signing.sign(tmp_path / "key", "physics", built())


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    """`build` wants a folder."""
    with pytest.raises(InvalidInput, match="expected a folder with Python modules"):
        bundles.build(tmp_path / "missing")


def test_a_link_in_a_folder_is_refused(tmp_path: Path) -> None:
    """What a link leads to would be another's file."""
    (tmp_path / "a.py").symlink_to("/etc/passwd")
    with pytest.raises(PilotageError, match="expected a file, got a link"):
        bundles.build(tmp_path)


def test_tests_and_leftovers_do_not_travel(tmp_path: Path) -> None:
    """Only what pilots need is packed: no tests, nothing hidden, nothing that Python compiled."""
    for name in ("a.py", "test_a.py", "conftest.py", ".git/x", "tests/test_b.py", "__pycache__/a.pyc", "p/data.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    assert [name for name, _ in bundles._files(tmp_path)] == ["a.py", "p/data.json"]
