"""A network for guests from which the central is reached by a cable that can be cut."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.integration.cloud_network import inside, ip

#: Bytes that go over the cable at a time.
_CHUNK = 65536


class Cable:
    """Carries connections to one port of this host's loopback address from the same port in a network namespace. While
    it is cut nothing comes through, and nobody is told."""

    def __init__(self, network: str, port: int, address: str = "127.0.0.1") -> None:
        self.network = network
        self.port = port
        self.connections = 0  # that were asked for
        self._whole = threading.Event()
        self._whole.set()
        with inside(network):
            self._listening = socket.create_server((address, port))
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        self._whole.clear()

    def heal(self) -> None:
        self._whole.set()

    def close(self) -> None:
        self._whole.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(10)
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            far = socket.create_connection(("127.0.0.1", self.port)) if self._up() else None
            self._open += [near, *([far] if far else [])]
            if far:
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _up(self) -> bool:
        """A connection that is asked for while the cable is cut gets no answer, then or later."""
        return self._whole.is_set()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while content := one.recv(_CHUNK):
                self._whole.wait()
                other.sendall(content)
        for each in (one, other):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def network() -> Iterator[str]:
    """The name of a network namespace with nothing but a loopback interface; gone afterwards."""
    name = f"pilotage-guests-{os.getpid()}"
    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True, timeout=20)
