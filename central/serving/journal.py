"""What people wrote, as a line of the log may have it."""

from __future__ import annotations

#: Characters of a reason that the log has.
MAX_REASON = 200


def in_a_line(reason: str) -> str:
    """A reason without what would begin another line, or move the cursor of one who reads it."""
    line = " ".join(reason.split())[:MAX_REASON]
    return "".join(character if character.isprintable() else "?" for character in line)
