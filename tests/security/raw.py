"""Requests with the very header lines that somebody wants, a name twice among them."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterable
from contextlib import closing

from tests.integration.running_central import PATIENCE, RunningCentral
from tests.security.intruders import address

Lines = Iterable[tuple[str, str]]


def asked(central: RunningCentral, method: str, path: str, body: bytes, lines: Lines) -> tuple[int, str]:
    """Send a request. Returns the status and, of a refusal, its type."""
    context = ssl.create_default_context(cafile=central.ca)
    host, port = "localhost", address(central)[1]
    with closing(http.client.HTTPSConnection(host, port, timeout=PATIENCE, context=context)) as connection:
        connection.putrequest(method, path)
        for name, value in (*lines, ("Content-Length", str(len(body)))):
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        said = answer.read()
    refused = answer.getheader("Content-Type") == "application/problem+json"
    return answer.status, str(json.loads(said)["type"]) if refused and said else ""
