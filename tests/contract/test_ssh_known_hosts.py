"""The known hosts of the central's user, when a host by SSH is called."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from central.configuration.elements import Ssh
from central.elements.port import ComputingError, Trouble
from central.elements.ssh import SshHost


@pytest.mark.anyio
async def test_a_line_that_cannot_be_understood_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a credential's trouble, no failure of the central's own, and what the file holds stays in it."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "known_hosts").write_text("a-key-of-the-central\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ComputingError, match="its known hosts as `ssh-keyscan` writes them") as caught:
            await SshHost(Ssh("127.0.0.1", "us", port), {}, 5).run(["true"])
    assert caught.value.trouble is Trouble.CREDENTIAL
    assert "a-key" not in str(caught.value)
