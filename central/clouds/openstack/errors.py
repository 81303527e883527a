"""What OpenStack's errors mean to a director: pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from central.elements.port import ComputingError, Trouble

#: Characters of OpenStack's own words in a message.
WORDS = 300
#: Nova repeats what it does not like, which may be the user-data with the secret in it.
_REPEATED = re.compile(r"\bValue: .*", re.DOTALL)
#: A 403 is a refused permission, or one of many quotas: of machines, cores, memory, ports, volumes.
_POLICY = re.compile(r"\bpolicy\b", re.IGNORECASE)
_QUOTA = re.compile(r"quota|exceeded|over (a |the )?limit|no (more|free) (fixed ip|ip address)", re.IGNORECASE)


class Answered(ComputingError):
    """OpenStack answered, and it was an error."""

    def __init__(self, message: str, trouble: Trouble, status: int) -> None:
        super().__init__(message, trouble)
        self.status = status


def answered(whom: str, status: int, text: str, headers: Mapping[str, str] | None = None) -> Answered:
    """The error that an answer of Nova, Glance or Neutron stands for. `text` is theirs."""
    words = said(text) or f"HTTP status {status}"
    pause = (headers or {}).get("retry-after", "")
    later = f"; it asks to be left alone for {pause} s" if pause.isdigit() and pause != "0" else ""
    return Answered(f"{whom} says {status}: {words}{later}", trouble(status, words), status)


def trouble(status: int, words: str) -> Trouble:
    if status == 401:
        return Trouble.CREDENTIAL
    if status in (403, 413) and _QUOTA.search(words) and not _POLICY.search(words):
        return Trouble.FULL
    if status in (408, 413, 429) or status >= 500 or status < 400:
        return Trouble.UNREACHABLE
    return Trouble.REFUSED


def unauthenticated(url: str, status: int, text: str) -> Answered:
    """The error that an answer of Keystone to our credential stands for."""
    words = said(text) or f"HTTP status {status}"
    if status in (401, 403) or (status == 404 and "credential" in words.lower()):
        sentence = f"Keystone at {url} does not take the application credential: {words}; see that it was not deleted"
        return Answered(f"{sentence} and has not expired, and set it anew", Trouble.CREDENTIAL, status)
    if status in (408, 413, 429) or status >= 500:
        return Answered(f"Keystone at {url} says {status}: {words}", Trouble.UNREACHABLE, status)
    sentence = f"there is no Keystone at {url} that issues tokens of version 3: it says {status}: {words}"
    return Answered(sentence, Trouble.REFUSED, status)


def unanswered(whom: str, error: Exception) -> ComputingError:
    """The error where there was no answer, or none that could be understood."""
    words = said(str(error))
    hint = "; if it has a certificate of its own authority, name that in `ca`" if "CERTIFICATE_VERIFY" in words else ""
    return ComputingError(f"{whom} does not answer: {type(error).__name__}: {words}{hint}", Trouble.UNREACHABLE)


def said(text: str) -> str:
    """OpenStack's words, on one line, without what they repeat of a request."""
    return " ".join(_REPEATED.sub("", text).split())[:WORDS]
