"""``python -m central`` that writes down every secret that it makes or is told, for a test to look for them elsewhere.

They go to PILOTAGE_TEST_TOLD, a line each. Where a file beside that one says so, it fails: ``fail-sealing`` as it
answers a pilot, ``fail-sending`` as its director sends one; the faults show what they were about. Its pilots believe
the authorities that it was told of by SSL_CERT_FILE.
"""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from central.__main__ import main
from central.directors.submitting import Submitting
from central.elements import local
from central.elements.port import Submission
from central.routes import enrolment
from central.trust.seal import KeyRing, Payload, PilotToken

TOLD = Path(os.environ["PILOTAGE_TEST_TOLD"])
seal, session_key, submission = KeyRing.seal, enrolment._session_key, Submitting._submission


def tell(kind: str, secret: str) -> None:
    with open(TOLD, "a", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(f"{kind} {secret}\n")


def fail(how: str, about: object) -> None:
    if TOLD.with_name(how).exists():
        raise RuntimeError(f"a fault of the test, about {about!r}")


def seal_and_tell(self: KeyRing, payload: Payload) -> str:
    if isinstance(payload, PilotToken):
        fail("fail-sealing", (payload, self, self.keys))
    sealed = seal(self, payload)
    tell(type(payload).__name__, sealed)
    return sealed


def take_and_tell(text: str) -> bytes:
    key = session_key(text)
    tell("session-key", base64.b64encode(key).decode())
    return key


def submit_and_tell(self: Submitting, stamp: str, secret: str) -> Submission:
    made = submission(self, stamp, secret)
    tell("secret", secret)
    fail("fail-sending", made)
    return made


local.INHERITED = (*local.INHERITED, "SSL_CERT_FILE")  # type: ignore[assignment, attr-defined]
KeyRing.seal = seal_and_tell  # type: ignore[method-assign]
enrolment._session_key = take_and_tell
Submitting._submission = submit_and_tell  # type: ignore[method-assign]

if __name__ == "__main__":
    sys.exit(main())
