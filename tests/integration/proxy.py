"""A proxy as sites have it: connects to whom it is asked for (CONNECT), dies, comes back, and refuses."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

#: Bytes of a request that are read at most, and at a time of what passes through.
HEAD, BLOCK = 16 * 1024, 64 * 1024


def on_loopback(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


@dataclass
class Proxy:
    """Start it with `with`; `listen` makes the socket that it is reached at, on a port or on any (0)."""

    listen: Callable[[int], socket.socket] = on_loopback
    names: dict[str, str] = field(default_factory=dict)  # hosts that nobody else knows → addresses
    refused: set[str] = field(default_factory=set)  # HOST:PORT
    user: str = ""  # user:password that it asks for
    place: str = ""  # the namespace of those who reach it, where that is not here
    port: int = 0
    asked: list[str] = field(default_factory=list)  # HOST:PORT, in order
    passed: int = 0  # bytes, both ways
    open: set[socket.socket] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)
    listening: socket.socket | None = None

    @property
    def url(self) -> str:
        return f"http://{self.user}@127.0.0.1:{self.port}" if self.user else f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Proxy:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.die()

    def start(self) -> None:
        """Be there, at the same port as before."""
        self.listening = self.listen(self.port)
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listening,), daemon=True).start()

    def die(self) -> None:
        """Drop everything that passes through, and take nothing new."""
        with self.lock:
            listening, self.listening = self.listening, None
            left, self.open = self.open, set()
        for one in (*left, *((listening,) if listening else ())):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)  # whoever waits in it in another thread is woken
            one.close()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            if not self._holds(client):
                return
            head = b""
            while b"\r\n\r\n" not in head:
                block = client.recv(HEAD)
                head += block
                if not block or len(head) > HEAD:
                    return
            target = head.split()[1].decode()
            self.asked.append(target)
            if no := self._no(target, head):
                client.sendall(f"HTTP/1.1 {no}\r\nContent-Length: 0\r\n\r\n".encode())
                return
            host, _, port = target.rpartition(":")
            with socket.create_connection((self.names.get(host, host), int(port)), 10) as other:
                other.settimeout(None)
                if self._holds(other):
                    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                    self._pass(client, other)

    def _holds(self, one: socket.socket) -> bool:
        with self.lock:
            if self.listening is None:
                return False
            self.open.add(one)
            return True

    def _no(self, target: str, head: bytes) -> str:
        wanted = f"Proxy-Authorization: Basic {base64.b64encode(self.user.encode()).decode()}"
        if self.user and wanted not in head.decode():
            return "407 Proxy Authentication Required"
        return "403 Forbidden" if target in self.refused else ""

    def _pass(self, client: socket.socket, other: socket.socket) -> None:
        back = threading.Thread(target=self._pump, args=(other, client), daemon=True)
        back.start()
        self._pump(client, other)
        back.join()
        with self.lock:
            self.open -= {client, other}

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while block := source.recv(BLOCK):
                target.sendall(block)
                with self.lock:
                    self.passed += len(block)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
