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


def addresses() -> list[str]:
    """Where it may be, and where its name leads."""
    found = list(GIVEN)
    found += [f"{LOCAL}%{name}" for _, name in socket.if_nameindex()[:INTERFACES] if name != "lo"]
    try:
        found += [str(each[4][0]) for each in socket.getaddrinfo(NAME, 80, type=socket.SOCK_STREAM)]
    except OSError:
        pass
    return list(dict.fromkeys(found))


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


def main(port: int) -> None:
    until = time.monotonic() + ALL
    found: list[str] = []
    looked: list[str] = list(GIVEN)
    lookup = threading.Thread(target=lambda: looked.extend(addresses()), daemon=True)
    lookup.start()
    lookup.join(SECONDS)  # a resolver that does not answer
    threads = [
        threading.Thread(target=attempt, args=(address, port, found), daemon=True) for address in dict.fromkeys(looked)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    print(json.dumps({"answered": sorted(found), "tried": len(threads)}))
    sys.stdout.flush()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        become(int(sys.argv[1]), int(sys.argv[2]))
    main(80)
