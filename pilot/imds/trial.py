"""Tries to reach the metadata service of a cloud in every way that a payload may, and prints what answered, as JSON.

It becomes a payload's user, who need not have a right to the interpreter that it runs in. Its text is all there is:
standard library only, and nothing of ours. Whatever answers, with whatever status, can be reached: a guard that asks
only one way is passed by the others.
"""

import encodings.idna  # noqa: F401 - what a lookup would import once it is too late for that
import http.client
import json
import os
import socket
import sys
import threading
import time
from typing import Optional

SECONDS = 2.0  # for a connection, with a first try that is lost, and for an answer
ALL = 8.0  # for everything
NAME = "metadata.google.internal"
GIVEN = (
    *("169.254.169.254", "::ffff:169.254.169.254", "168.63.129.16", "100.100.100.200"),
    *("fd00:ec2::254", "fd20:ce::254"),
)
LOCAL = "fe80::a9fe:a9fe"  # on each interface
INTERFACES = 8
TOKEN = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
WAYS: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    ("a plain request", "GET", "/", {}),
    ("a token of EC2", "PUT", "/latest/api/token", TOKEN),
    ("the header of GCE", "GET", "/computeMetadata/v1/instance/id", {"Metadata-Flavor": "Google"}),
    ("the header of Azure", "GET", "/metadata/instance?api-version=2021-02-01", {"Metadata": "true"}),
    ("a path of OpenStack", "GET", "/openstack/latest/meta_data.json", {}),
)


def named() -> list[str]:
    """Where the name of the service leads, which it may take long to find out."""
    try:
        return [str(each[4][0]) for each in socket.getaddrinfo(NAME, 80, type=socket.SOCK_STREAM)]
    except OSError:
        return []


def given() -> list[str]:
    """Where it may be without a name."""
    return [*GIVEN, *(f"{LOCAL}%{name}" for _, name in socket.if_nameindex()[:INTERFACES] if name != "lo")]


def status(address: str, port: int, method: str, path: str, headers: dict[str, str]) -> Optional[int]:
    """Of the answer, None where there is none. Raises ConnectionError, TimeoutError or OSError without a connection."""
    connection = http.client.HTTPConnection(address, port, timeout=SECONDS)
    connection.connect()
    try:
        connection.request(method, path, headers=headers)
        return connection.getresponse().status
    except http.client.RemoteDisconnected:
        return None
    except http.client.HTTPException:
        return 0  # something answered, even if not in HTTP
    except OSError:
        return None
    finally:
        connection.close()


def attempt(address: str, port: int, found: list[str]) -> None:
    """Say which way is answered first at an address."""
    for way, method, path, headers in WAYS:
        try:
            answered = status(address, port, method, path, headers)
        except OSError:
            return  # nobody is there, for us
        if answered is not None:
            found.append(f"{way} at {address} ({method} {path}: status {answered})")
            return


def become(uid: int, gid: int) -> None:
    """Be that user for good."""
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


class Trials:
    """Attempts at one port, all at once: where nobody is there each takes its time, and they take it together."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.until = time.monotonic() + ALL
        self.found: list[str] = []
        self._threads: dict[str, threading.Thread] = {}

    def begin(self, addresses: list[str]) -> None:
        for address in dict.fromkeys(addresses):
            if address not in self._threads:
                arguments = (address, self.port, self.found)
                self._threads[address] = threading.Thread(target=attempt, args=arguments, daemon=True)
                self._threads[address].start()

    def end(self) -> int:
        """Wait for all of them, within bounds. Returns at how many addresses it was tried."""
        for thread in self._threads.values():
            thread.join(max(0.0, self.until - time.monotonic()))
        return len(self._threads)


def main(port: int) -> None:
    looked: list[str] = []
    lookup = threading.Thread(target=lambda: looked.extend(named()), daemon=True)
    lookup.start()
    trials = Trials(port)
    trials.begin(given())  # beside the lookup: a resolver may not answer
    lookup.join(SECONDS)
    trials.begin(looked)
    tried = trials.end()
    print(json.dumps({"answered": sorted(trials.found), "tried": tried}))
    sys.stdout.flush()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        become(int(sys.argv[1]), int(sys.argv[2]))
    main(80)
