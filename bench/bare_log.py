"""The least that a receiver of logs over HTTPS could do: append the body to a file. `python -m bench.bare_log PORT PEM
FOLDER`."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import uvicorn

Message = MutableMapping[str, Any]


def application(folder: Path) -> Callable[..., Awaitable[None]]:
    async def receive_log(
        scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        file = os.open(folder / scope["path"].replace("/", "_"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(file, body)
        finally:
            os.close(file)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})

    return receive_log


if __name__ == "__main__":
    port, pem, folder = sys.argv[1:]
    uvicorn.run(
        application(Path(folder)), host="127.0.0.1", port=int(port), ssl_certfile=pem, ssl_keyfile=pem,
        log_level="error", access_log=False, lifespan="off", timeout_keep_alive=3600,
    )  # fmt: skip
