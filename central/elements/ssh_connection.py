"""A connection to a host by SSH, perhaps through another one: how it is made, and how a program is run over it.

Host keys are always checked. Where the settings are silent, the SSH configuration of the central's user speaks, and its
known hosts.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from central.configuration.elements import Ssh
from central.elements.connections import NoSession
from central.elements.host import PATIENCE, Ran, bounded
from central.elements.port import ComputingError, Trouble
from pilot.errors import PilotageError

try:
    import asyncssh
except ImportError as missing:
    raise PilotageError(
        "queues that are reached by SSH need the library asyncssh: install it with `pip install 'pilotage[ssh]'`"
    ) from missing

#: Seconds between two signs of life on a connection where nothing else passes, and how many may fail to be answered.
ALIVE, ALIVE_MOST = 15, 3
#: Characters of a file of known hosts; some hundred thousand hosts.
MOST_KNOWN = 64 * 1024 * 1024
#: What a server answers that starts no further program. Each of asyncssh's own codes is of a later step.
_NO_SESSION = (
    asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED,
    asyncssh.OPEN_CONNECT_FAILED,
    asyncssh.OPEN_RESOURCE_SHORTAGE,
)

asyncssh.set_log_level(logging.WARNING)  # else it tells of each program


class SshConnection:
    """`hops` are connections to the hosts on the way, each through the one before, and to the host itself."""

    def __init__(self, hops: list[asyncssh.SSHClientConnection]) -> None:
        self.hops = hops

    @property
    def broken(self) -> bool:
        return any(hop.is_closed() for hop in self.hops)

    async def run(self, command: str, stdin: bytes) -> Ran:
        try:
            return await _run(self.hops[-1], command, stdin)
        except asyncssh.ChannelOpenError as error:
            raise (NoSession if error.code in _NO_SESSION else ConnectionError)(_said(error)) from error
        except asyncssh.Error as error:
            raise ConnectionError(_said(error)) from error

    async def close(self) -> None:
        for hop in reversed(self.hops):
            hop.abort()
            await hop.wait_closed()


async def connect(settings: Ssh) -> SshConnection:
    """Raises `ComputingError`."""
    connection = SshConnection([])
    async with AsyncExitStack() as half:
        half.push_async_callback(connection.close)
        try:
            async with asyncio.timeout(PATIENCE):
                for target in _targets(settings):
                    connection.hops.append(await _connect(target, connection.hops))
        except TimeoutError:
            raise ComputingError(
                f"{settings.host} cannot be reached by SSH: no answer within {PATIENCE:g} s", Trouble.UNREACHABLE
            ) from None
        half.pop_all()
    return connection


async def _connect(target: Ssh, through: Sequence[asyncssh.SSHClientConnection]) -> asyncssh.SSHClientConnection:
    """Raises `ComputingError`."""
    witness = _Witness()
    try:
        given = _given(target) | await asyncio.to_thread(_from_files, target)
        options = await asyncssh.SSHClientConnectionOptions.construct(host=target.host, **given)
        if options.known_hosts is None:
            raise ComputingError(
                f"the SSH configuration of this user turns the check of the host key of {target.host} off"
                " (UserKnownHostsFile none): name a file of keys, as `known_hosts` in [queues.ssh]",
                Trouble.CREDENTIAL,
            )
        connection, _ = await asyncssh.create_connection(
            lambda: witness, target.host, tunnel=through[-1] if through else (), options=options, **given
        )
        return connection
    except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed) as error:
        raise ComputingError(_unknown_key(target, witness, error), Trouble.CREDENTIAL) from error
    except asyncssh.PermissionDenied as error:
        raise ComputingError(
            f"{target.host} does not let us in as {target.user or 'this user'} ({_said(error)}); see that the public"
            f" half of {target.key or 'a key of ours'} is in the file .ssh/authorized_keys there",
            Trouble.CREDENTIAL,
        ) from error
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, asyncssh.ConfigParseError) as error:
        raise ComputingError(
            f"a key or the configuration for {target.host} cannot be used: {_said(error)}; a key must have no"
            " passphrase, or be held by an agent",
            Trouble.CREDENTIAL,
        ) from error
    except (asyncssh.Error, OSError) as error:
        port = f", port {target.port}," if target.port else ""
        raise ComputingError(
            f"{target.host}{port} cannot be reached by SSH: {_said(error)}; see that host and port are right, and"
            " that it is up",
            Trouble.UNREACHABLE,
        ) from error
    except ValueError:  # without the cause, which quotes what it read
        raise ComputingError(
            f"{target.host} cannot be called with what this user's SSH configuration says: is every line of its known"
            " hosts as `ssh-keyscan` writes them?",
            Trouble.CREDENTIAL,
        ) from None


class _Witness(asyncssh.SSHClient):
    """Remembers a host key that is not known."""

    shown = ""

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self.shown = f"{key.get_algorithm()} {key.get_fingerprint()}"
        return False


def _unknown_key(target: Ssh, witness: _Witness, error: Exception) -> str:
    shown = f"its host key ({witness.shown}) is" if witness.shown else f"no host key that it has ({_said(error)}) is"
    known = target.known_hosts or "the known hosts of this user (~/.ssh/known_hosts)"
    port = f" -p {target.port}" if target.port else ""
    return (
        f"{target.host} is new, or is not the host that we know by that name: {shown} not in {known}. Ask its"
        f" administrator whether that is its key; if so, put what `ssh-keyscan{port} {target.host}` says into that"
        " file, in the place of an older key"
    )


def _targets(settings: Ssh) -> Sequence[Ssh]:
    """The hosts to connect to, one after another."""
    if not settings.jump:
        return [settings]
    user, _, host = settings.jump.rpartition("@")
    host, _, port = host.partition(":")
    return [Ssh(host, user, int(port or 0), settings.key, settings.known_hosts), settings]


def _given(target: Ssh) -> dict[str, Any]:
    """What is said to asyncssh of a connection; what is absent, the user's SSH configuration decides."""
    given: dict[str, Any] = {
        "config": (),  # that of the user; only where it is said is it read
        "keepalive_interval": ALIVE,
        "keepalive_count_max": ALIVE_MOST,
        "password_auth": False,  # nobody is there to type one
        "kbdint_auth": False,
        "agent_forwarding": False,  # whatever the user's own logins do: our keys are of no use to programs there
    }
    if target.port:
        given["port"] = target.port
    if target.user:
        given["username"] = target.user
    if target.key:
        given |= {"client_keys": [target.key], "agent_path": None}
    return given


def _from_files(target: Ssh) -> dict[str, Any]:
    """The known hosts that the settings name, and a look at the key: one that others can read is no secret.

    Raises `ComputingError`, which never quotes a file: the settings may name any.
    """
    if target.key:
        mode = stat.S_IMODE(_plain(target.key, "key").st_mode)
        if mode & 0o077:
            raise ComputingError(
                f"the SSH key {target.key} can be read by others (mode {mode:04o}): `chmod 600 {target.key}`",
                Trouble.CREDENTIAL,
            )
    if not target.known_hosts:
        return {}
    if target.known_hosts == os.devnull:  # as many write it who know no host
        return {"known_hosts": asyncssh.import_known_hosts("")}
    _plain(target.known_hosts, "file of known hosts")
    try:
        with open(target.known_hosts, encoding="utf-8") as file:
            return {"known_hosts": asyncssh.import_known_hosts(file.read(MOST_KNOWN))}
    except OSError as error:
        why = error.strerror
    except ValueError:
        why = "expected lines as `ssh-keyscan` writes them"
    raise ComputingError(f"the SSH file of known hosts {target.known_hosts} cannot be read: {why}", Trouble.CREDENTIAL)


def _plain(file: str, what: str) -> os.stat_result:
    """Raises `ComputingError` for what is no plain file, and would be read without end or never."""
    try:
        about = Path(file).stat()
    except OSError as error:
        raise ComputingError(f"the SSH {what} {file} cannot be read: {error.strerror}", Trouble.CREDENTIAL) from error
    if not stat.S_ISREG(about.st_mode):
        raise ComputingError(f"the SSH {what} {file} cannot be read: it is no plain file", Trouble.CREDENTIAL)
    return about


async def _run(connection: asyncssh.SSHClientConnection, command: str, stdin: bytes) -> Ran:
    process: asyncssh.SSHClientProcess[bytes] = await connection.create_process(command, encoding=None)
    try:
        output, errors, _ = await asyncio.gather(
            bounded(process.stdout), bounded(process.stderr), _write(process.stdin, stdin)
        )
        await process.wait_closed()
    finally:
        if process.returncode is None:
            with suppress(OSError):
                process.kill()  # nothing that we wait for no longer stays
            process.close()
    if process.returncode is None:
        raise ConnectionResetError("it ended without a word")
    return Ran(process.returncode, output, errors)


async def _write(stream: asyncssh.SSHWriter[bytes], content: bytes) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # it did not want to hear; its code says the rest
        stream.write(content)
        await stream.drain()
        stream.write_eof()


def _said(error: Exception) -> str:
    words = error.strerror if isinstance(error, OSError) else None
    return (words or str(error)).strip() or type(error).__name__
