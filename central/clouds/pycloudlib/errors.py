"""What LXD's errors mean to a director: pure. They come as words alone."""

from __future__ import annotations

from central.elements.port import ComputingError, Trouble

#: Characters of LXD's own words in a message.
_WORDS = 300
#: In lower case; the first that is found says.
_SAID = (
    (Trouble.CREDENTIAL, ("permission denied", "not authorized", "forbidden", "certificate")),
    (
        Trouble.UNREACHABLE,
        (
            *("dial unix", "dial tcp", "connection refused", "connection reset", "i/o timeout", "eof", "shutting down"),
            *("not started yet", "daemon still", "database is locked", "context deadline exceeded", "unavailable"),
        ),
    ),
    (
        Trouble.FULL,
        ("reached maximum", "no space left", "not enough", "quota exceeded", "cannot allocate memory"),
    ),
)
_GONE = ("instance not found", "container not found")


def gone(error: Exception) -> bool:
    """Whether it says that there is no such machine."""
    return any(words in str(error).lower() for words in _GONE)


def there_already(error: Exception) -> bool:
    """Whether it says that there is a machine of this name."""
    return "already exists" in str(error).lower()


def answered(error: Exception) -> ComputingError:
    """The error that an answer stands for."""
    told = " ".join(str(error).split())
    said = told.partition("Error: ")[2] or told
    low = told.lower()
    trouble = next((found for found, words in _SAID if any(each in low for each in words)), Trouble.REFUSED)
    return ComputingError(f"LXD says: {said[:_WORDS]}", trouble)
