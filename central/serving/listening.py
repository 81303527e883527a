"""The ports that a central listens on: the ordinary one, and that for callers with certificates, where there is one."""

from __future__ import annotations

import asyncio
import socket

from central.configuration.settings import CentralSettings, Service
from pilot.errors import PilotageError


def listening(settings: CentralSettings, beside_others: bool = False) -> list[socket.socket]:
    """The sockets to serve on: the ordinary one, and that for callers with certificates, where there is one."""
    return [listen(settings.service, beside_others, port, key) for key, port in ports(settings).items()]


def ports(settings: CentralSettings) -> dict[str, int]:
    """By what they are called in the settings."""
    certificates = settings.certificates
    more = {"certificates.port": certificates.port} if certificates else {}
    return {"central.port": settings.service.port, **more}


def listen(service: Service, beside_others: bool, port: int, key: str) -> socket.socket:
    """The socket to serve on, alone or beside others of ours, at a port that the settings call `key`. Raises
    `PilotageError` that says who is in the way."""
    family = socket.AF_INET6 if ":" in service.bind else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if beside_others:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((service.bind, port))
    except OSError as error:
        listener.close()
        raise PilotageError(
            f"central.toml: {key}: cannot listen on {service.bind}:{port} ({error.strerror}); stop what listens there,"
            " or choose another port"
        ) from error
    return listener


async def reserved(service: Service, port: int, key: str) -> socket.socket:
    """A socket that keeps a port for our workers and gets no connection itself.

    Workers of one that was killed may still be ending: they get a moment.
    """
    for patience in reversed(range(50)):
        try:
            with listen(service, False, port, key) as alone:
                alone.listen(1)
        except (PilotageError, OSError):
            if not patience:
                raise
            await asyncio.sleep(0.1)
        else:
            break
    return listen(service, True, port, key)
