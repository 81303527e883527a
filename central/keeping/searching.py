"""Looking for a pattern in a log, in time that grows with the bytes alone whatever the pattern (RE2)."""

from __future__ import annotations

import re2  # type: ignore[import-untyped]

from pilot.errors import InvalidInput
from pilot.looking import LogLine

#: Characters of a pattern, and bytes that its automaton may take.
MAX_PATTERN = 1000
_MEMORY = 1024 * 1024
#: Bytes of a line that are shown.
SHOWN = 4096


class Pattern:
    """What is looked for, line by line: a regular expression in the syntax of RE2, or a plain text.

    Raises `InvalidInput` when it is no expression.
    """

    def __init__(self, text: str, *, plain: bool = False, ignore_case: bool = False) -> None:
        if not 0 < len(text) <= MAX_PATTERN or "\n" in text:
            raise InvalidInput("grep", f"expected 1 to {MAX_PATTERN} characters without a line break")
        options = re2.Options()
        options.max_mem = _MEMORY
        options.log_errors = False
        options.never_nl = True  # no match goes beyond its line
        try:
            wanted = re2.escape(text) if plain else text
            self._expression = re2.compile(f"(?{'i' if ignore_case else ''}m){wanted}".encode(), options)
        except re2.error as error:
            said = error.args[0] if error.args else b""
            reason = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
            raise InvalidInput("grep", f"expected a regular expression (RE2): {reason}") from error

    def lines(self, block: bytes, at: int, most: int) -> tuple[list[LogLine], int]:
        """The lines of a block that match, `most` of them at most, and the offset up to which that is all.

        `at` is the offset of the block, which begins with a line. What is behind its last line break counts as a line.
        """
        found: list[LogLine] = []
        here = 0
        while len(found) < most:
            match = self._expression.search(block, here)
            if match is None:
                return found, at + len(block)
            start = block.rfind(b"\n", 0, match.start()) + 1
            end = block.find(b"\n", match.start())
            end = len(block) if end < 0 else end
            if start == len(block):
                return found, at + len(block)  # a pattern that matches nothing at all, behind the last line
            found.append(LogLine(at + start, block[start : min(end, start + SHOWN)].decode("utf-8", "replace")))
            here = end + 1
            if here >= len(block):
                return found, at + len(block)
        return found, at + here
