"""Bundles on their way to a node: whatever an address answers, only the right bytes are kept."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from pilot.bundles import MANIFEST, Manifest
from pilot.errors import PilotageError, TransportError
from pilot.protocol import Bundle
from pilot.standard import CommandRecord
from pilot.steps.fetching import Source, fetch, verify
from pilot.transport import Response


def archive(name: str = "tools") -> bytes:
    manifest = Manifest(name, (CommandRecord("theirs:go", (), (), 30.0),), ("theirs",))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("theirs.py", "")
        file.writestr(MANIFEST, manifest.written())
    return packed.getvalue()


CONTENT = archive()
DIGEST = hashlib.sha256(CONTENT).hexdigest()
BUNDLE = Bundle("tools", DIGEST, (f"/v1/bundles/{DIGEST}", "https://elsewhere/b.zip"), len(CONTENT), "physics")
CENTRALS = ("https://one", "https://two")


class Web:
    """Addresses and what they answer: bytes, a status, or nothing at all."""

    def __init__(self, answers: Mapping[str, bytes | int]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Response:
        self.asked.append(url)
        answer = self.answers.get(url)
        if answer is None:
            raise TransportError(f"{url} cannot be reached")
        return Response(answer, "", b"") if isinstance(answer, int) else Response(200, "application/zip", answer)


def fetched(web: Web, folder: Path, bundle: Bundle = BUNDLE, patience: int = 0) -> tuple[Path, Manifest]:
    waits = iter([*[False] * patience, True])
    return fetch(bundle, Source(CENTRALS, web), folder / "bundles", lambda seconds: next(waits), lambda: 0.5)


def test_it_comes_from_whoever_has_it(tmp_path: Path) -> None:
    """An address that is away, has nothing or gives something else is passed over for the next."""
    path = f"/v1/bundles/{DIGEST}"
    web = Web({"https://one" + path: 404, "https://two" + path: b"something else", "https://elsewhere/b.zip": CONTENT})
    place, manifest = fetched(web, tmp_path)
    assert place.read_bytes() == CONTENT
    assert [command.name for command in manifest.commands] == ["theirs:go"]
    assert web.asked == ["https://one" + path, "https://two" + path, "https://elsewhere/b.zip"]
    assert list(place.parent.iterdir()) == [place]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"evil", "gives 4 bytes with the SHA-256"),
        (503, "answers with status 503"),
        (None, "cannot be reached"),
    ],
)
def test_what_is_not_right_is_never_kept(tmp_path: Path, answer: bytes | int | None, problem: str) -> None:
    """Wrong bytes do not reach the disk; when patience is over the reason is told."""
    web = Web({} if answer is None else {"https://elsewhere/b.zip": answer})
    with pytest.raises(PilotageError, match="the bundle tools cannot be fetched") as caught:
        fetched(web, tmp_path, patience=2)
    assert problem in str(caught.value)
    assert len(web.asked) == 9
    assert not (tmp_path / "bundles").exists()


def test_only_over_tls(tmp_path: Path) -> None:
    """An address without TLS is not asked."""
    web = Web({})
    with pytest.raises(PilotageError, match="no address is known for it"):
        fetched(web, tmp_path, Bundle("tools", DIGEST, ("http://plain/b.zip",), 1, "physics"))
    assert web.asked == []


def test_right_bytes_may_still_be_a_wrong_bundle(tmp_path: Path) -> None:
    """A digest alone opens nothing: the archive is checked, and calls itself what was to come."""
    other = archive("other")
    digest = hashlib.sha256(other).hexdigest()
    bundle = Bundle("tools", digest, ("https://elsewhere/b.zip",), len(other), "physics")
    with pytest.raises(PilotageError, match="expected the bundle tools, got one that calls itself other"):
        fetched(Web({"https://elsewhere/b.zip": other}), tmp_path, bundle)
    assert not (tmp_path / "bundles").exists()


def test_a_file_that_was_changed_is_found(tmp_path: Path) -> None:
    """Before each use the file is what it was."""
    place, _ = fetched(Web({"https://elsewhere/b.zip": CONTENT}), tmp_path)
    verify(place, DIGEST)
    place.write_bytes(CONTENT + b"x")
    with pytest.raises(PilotageError, match="was changed since it was fetched"):
        verify(place, DIGEST)
