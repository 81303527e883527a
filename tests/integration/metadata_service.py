"""A metadata service, on the loopback interface or in a network of its own: answers what a test puts into it.

It does so as those of EC2, GCE and Azure.
"""

from __future__ import annotations

import http.server
import socket
import threading
import time

TOKEN = "token-of-the-metadata-service"


class MetadataService:
    """Start it with `with`. `answers`: path without query → status and body; what is not there is 404.

    A path asks for the header that its cloud wants, and refuses who does not send it. `asked` are the paths, in order.
    `only`: who asks for another path than those that begin so is hung up on.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.only = ""
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.asked: list[str] = []
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.reply(*service.answer(self.path, dict(self.headers)))

            def do_PUT(self) -> None:
                ours = self.path == "/latest/api/token" and "X-aws-ec2-metadata-token-ttl-seconds" in self.headers
                self.reply(*((200, TOKEN.encode()) if ours else (400, b"")))

            def reply(self, status: int, body: bytes) -> None:
                if not self.path.startswith(service.only):
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words: object) -> None: ...

        class Server(http.server.ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        self.server = Server((host, port), Handler)
        self.url = f"http://{host}:{self.server.server_address[1]}"

    def __enter__(self) -> MetadataService:
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def answer(self, target: str, headers: dict[str, str]) -> tuple[int, bytes]:
        path = target.split("?", maxsplit=1)[0]
        self.asked.append(path)
        if path.startswith("/latest/") and headers.get("X-aws-ec2-metadata-token") != TOKEN:
            return 401, b""
        if path.startswith("/computeMetadata/") and headers.get("Metadata-Flavor") != "Google":
            return 403, b""
        if path.startswith("/metadata/") and headers.get("Metadata") != "true":
            return 400, b""
        return self.answers.get(path, (404, b""))


def utc(form: str, seconds: float) -> str:
    """So many seconds from now, in this form."""
    return time.strftime(form, time.gmtime(time.time() + seconds))
