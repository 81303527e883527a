"""What of a node payloads in containers see besides their own files, as an operator writes it."""

from __future__ import annotations

from dataclasses import dataclass

from pilot.errors import InvalidInput

#: Where the attempt's directory is inside.
INSIDE = "/srv"


@dataclass(frozen=True)
class Bind:
    """A place of the host that payloads see."""

    source: str
    target: str
    writable: bool = False
    optional: bool = False  # not there: left out, and no fault

    def __str__(self) -> str:
        return f"{self.source}:{self.target}:{'rw' if self.writable else 'ro'}"


def parse_bind(text: str, where: str = "bind") -> Bind:
    """``/source``, ``/source:/target``, ``/source:/target:rw``, with ``?`` before it when it may be missing.

    Read-only unless it says otherwise. Raises `InvalidInput`.
    """
    optional = text.startswith("?")
    parts = text[optional:].split(":")
    source, target = parts[0], parts[1] if len(parts) > 1 else parts[0]
    mode = parts[2] if len(parts) > 2 else "ro"
    unclean = any("," in part or ".." in part.split("/") or not part.startswith("/") for part in (source, target))
    if len(parts) > 3 or unclean or mode not in ("ro", "rw"):
        raise InvalidInput(where, f"expected [?]/source[:/target[:ro|rw]] without commas, got {text!r}")
    if target == "/" or target == INSIDE or target.startswith(INSIDE + "/"):
        raise InvalidInput(
            where, f"expected a target other than / and {INSIDE}, where the attempt's files are, got {text!r}"
        )
    return Bind(source, target, mode == "rw", optional)
