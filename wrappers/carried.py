"""The Python that the wrapper carries inside it, run by the Python that it found on the node: python3 -I -c ... VERB.

Standard library only, and 3.6 must understand it, so that check can turn away what is too old. A problem is one line
on standard error and exit code 1. No quotes of the shell in here: the rendered script stays readable.
"""

import hashlib
import json
import os
import shutil
import signal
import sys


def check() -> None:
    """Print the path of this Python if the pilot can run with it."""
    version = "{}.{}.{}".format(*sys.version_info[:3])
    if sys.version_info < (3, 9):  # noqa: UP036 -- to find that out is what this is for
        sys.exit(version + " is older than 3.9")
    try:
        import ssl  # noqa: F401
        import zlib  # noqa: F401
    except ImportError as error:
        sys.exit(f"{version} cannot be used: {error}")
    print(sys.executable)


def get(url: str, target: str, ca_file: str) -> None:
    """Fetch a URL into a file. Without a CA file the certificates of the system are trusted."""
    import ssl
    import urllib.request

    signal.alarm(300)
    trust = ssl.create_default_context(cafile=ca_file or None)
    opened = urllib.request.urlopen(url, timeout=30, context=trust)  # noqa: S310 - render.py passes http, https alone
    with opened as answer, open(target, "wb") as file:
        shutil.copyfileobj(answer, file)


def put(url: str) -> None:
    """Send the boot log. On standard input: the ticket, the certificates of the CA, an empty line, the log."""
    import ssl
    import urllib.request

    head, body = sys.stdin.buffer.read().split(b"\n\n", 1)
    ticket, _, ca = head.decode().partition("\n")
    headers = {"Authorization": "Ticket " + ticket, "Content-Type": "application/octet-stream"}
    trust = ssl.create_default_context(cadata=ca or None)
    request = urllib.request.Request(url, body, headers, method="PUT")  # noqa: S310 - render.py passes https alone
    urllib.request.urlopen(request, timeout=10, context=trust).close()  # noqa: S310 - as above


def sha256() -> None:
    """Print the digest of standard input."""
    print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())


def config(work: str) -> None:
    """Print the configuration from standard input with its paths made absolute, which only the node knows."""
    work = os.path.abspath(work)
    values = json.load(sys.stdin)
    values["work"] = work
    values["secret_file"] = os.path.abspath(values["secret_file"])
    for key in ("ca", "ticket_file", "boot_log"):
        if values[key]:
            values[key] = os.path.join(work, values[key])
    print(json.dumps(values))


if __name__ == "__main__":
    verbs = {"check": check, "get": get, "put": put, "sha256": sha256, "config": config}
    try:
        verbs[sys.argv[1]](*sys.argv[2:])  # type: ignore[operator]
    except (OSError, ValueError) as problem:
        sys.exit(f"{type(problem).__name__}: {problem}")
