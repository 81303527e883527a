"""What people wrote, as a line of the log may have it."""

from __future__ import annotations

import logging
import time

#: Characters of a reason that the log has.
MAX_REASON = 200


def in_a_line(reason: str) -> str:
    """A reason without what would begin another line, or move the cursor of one who reads it."""
    line = " ".join(reason.split())[:MAX_REASON]
    return "".join(character if character.isprintable() else "?" for character in line)


class Sentences(logging.Formatter):
    """A line for people: time, level, sentence, then the fields as ``name=value``.

    What others wrote (last words of pilots, answers of batch systems) cannot begin a line, nor move a cursor.
    """

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", None)
        line = super().format(record)
        if not fields:
            return line
        first, newline, rest = line.partition("\n")
        told = " ".join(f"{name}={_tame(str(value))}" for name, value in fields.items())
        return f"{first}  {told}{newline}{rest}"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - its name in the library
        record.message = _tame(record.message)
        return super().formatMessage(record)


def _tame(text: str) -> str:
    """Lines after the first are set in, and what cannot be seen is a question mark."""
    if text.isprintable():
        return text
    lines = ("".join(char if char.isprintable() else "?" for char in line) for line in text.expandtabs(4).splitlines())
    return "\n    ".join(lines)
