"""The folders of pilots on a submit host: what is sent there, and what its listings mean."""

from __future__ import annotations

import io
import tarfile

import pytest

from central.elements import places
from central.elements.port import ComputingError, Submission, Trouble

ONE, TWO = f"{1:032x}", f"{2:032x}"


def test_folders_are_for_their_owner_and_secrets_travel_by_standard_input() -> None:
    """Each pilot has a folder with its script and its secret, closed to others; no argument holds a secret."""
    call = places.fill("/pilots", [Submission(ONE, "#!/bin/sh\n", "sesame"), Submission(TWO, "#!/bin/sh\n", "open")])
    with tarfile.open(fileobj=io.BytesIO(call.stdin)) as tar:
        entries = {entry.name: (entry.mode, entry.isdir()) for entry in tar}
        secret = tar.extractfile(f"{TWO}/secret")
        assert secret
        assert secret.read() == b"open"
    assert entries == {
        name: row
        for stamp in (ONE, TWO)
        for name, row in (
            (stamp, (0o700, True)),
            (f"{stamp}/wrapper.sh", (0o700, False)),
            (f"{stamp}/secret", (0o600, False)),
        )
    }
    assert not any(secret in word for word in call.argv for secret in ("sesame", "open"))


def test_a_listing_with_and_without_exit_codes() -> None:
    """Folders are known by their stamps, with the code that a wrapper left; what else lies there, or
    is printed at a login, is passed over."""
    output = f"Welcome!\n\n{places.HEAD}\n{ONE}\n{TWO}\nnotes.txt\n\n./{TWO}/exit:7\n./notes.txt/exit:3\n"
    assert places.listed(output.encode()) == {ONE: None, TWO: 7}


def test_no_folder_yet() -> None:
    """Before the first pilot there is nothing, and an empty folder is no different."""
    assert places.listed(f"{places.HEAD}\n".encode()) == {}
    assert places.listed(f"{places.HEAD}\n\n".encode()) == {}


@pytest.mark.parametrize("code", ["", "x", "-1", "7 8", "\N{SUPERSCRIPT TWO}"])
def test_a_code_that_is_none_says_nothing(code: str) -> None:
    """A half-written exit code is not taken for one."""
    assert places.listed(f"{places.HEAD}\n{ONE}\n\n./{ONE}/exit:{code}\n".encode()) == {ONE: None}


@pytest.mark.parametrize(
    "output", ["", "\n", f"{ONE}\n\n", f"{places.HEAD}\n{ONE}\n", f"{places.HEAD}\n{ONE}", "\ufffd"]
)
def test_a_listing_that_was_cut_short_is_no_listing(output: str) -> None:
    """Without its head and its middle the list cannot be told from one of fewer pilots: nothing follows from it."""
    with pytest.raises(ComputingError) as caught:
        places.listed(output.encode())
    assert caught.value.trouble is Trouble.UNREACHABLE
