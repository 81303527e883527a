"""A computer without a way out: a network namespace that has a loopback interface and nothing else. Made by root."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1
_LIBC = ctypes.CDLL(None, use_errno=True)
T = TypeVar("T")

#: A script that begins with this runs on the island whose namespace the file is.
GO_THERE = '[ -n "${{ON_THE_ISLAND:-}}" ] || exec env ON_THE_ISLAND=yes nsenter --net={namespace} /bin/sh "$0"\n'


class Island:
    """Use it with `with`. It is there as long as somebody lives on it, or holds it open."""

    def __init__(self) -> None:
        self.descriptor = _in_a_thread(_made)

    def __enter__(self) -> Island:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self.descriptor)

    @property
    def namespace(self) -> str:
        """A file by which other processes find it."""
        return f"/proc/{os.getpid()}/fd/{self.descriptor}"

    def listen(self, port: int) -> socket.socket:
        """A socket that is reached from the island alone; whoever accepts from it stays where he is."""
        return _in_a_thread(lambda: self._listening(port))

    def _listening(self, port: int) -> socket.socket:
        self.enter()
        return socket.create_server(("127.0.0.1", port))

    def enter(self) -> None:
        """Take this thread there, for good."""
        _must(_LIBC.setns(self.descriptor, _CLONE_NEWNET))


def _made() -> int:
    _must(_LIBC.unshare(_CLONE_NEWNET))
    with socket.socket() as any_one:
        fcntl.ioctl(any_one, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _in_a_thread(call: Callable[[], T]) -> T:
    """In one that ends with the call: it need not find back from where it went."""
    with ThreadPoolExecutor(1) as one:
        return one.submit(call).result()


def _must(answer: int) -> None:
    if answer:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
