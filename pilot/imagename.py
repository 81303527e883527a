"""What a job calls its container image: a file or folder among its inputs, a path on the node, a name in a registry."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from pilot.errors import InvalidInput

#: Tags that a node has when its probes proved it: containers run there, image files can be opened, payloads see nobody.
#: A queue that declares one expects it; a job is let in by the proof alone.
RUNS, OPENS_FILES, ISOLATES = PROVED = ("container:apptainer", "container:sif", "container:isolated")
REGISTRIES = ("docker", "oras", "library", "https")
_URL = re.compile(rf"(?:{'|'.join(REGISTRIES)})://[^\s\0]+")
_FILE = re.compile(r".*\.(sif|sqsh|sqfs|squashfs|simg|img)")


@dataclass(frozen=True)
class ImageName:
    """The name, and what kind of place it is in."""

    text: str
    kind: Literal["input", "path", "registry"]

    @property
    def tags(self) -> tuple[str, ...]:
        """What a node must have proved to run it. An image from a registry is fetched as a file."""
        if self.kind == "input":
            folder = self.text.endswith("/")
        else:
            folder = self.kind == "path" and not _FILE.fullmatch(self.text)
        return (RUNS,) if folder else (RUNS, OPENS_FILES)


def parse(text: str, where: str = "container") -> ImageName:
    """Raises `InvalidInput`."""
    if "://" in text:
        if not _URL.fullmatch(text):
            known = ", ".join(f"{name}://" for name in REGISTRIES)
            raise InvalidInput(where, f"expected a name in a registry with one of {known}, got {text!r}")
        return ImageName(text, "registry")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or "\0" in text or len(text) > 4096 or text.startswith("{"):
        raise InvalidInput(
            where, f"expected an image among the inputs, an absolute path or a registry's URL, got {text!r}"
        )
    if text.startswith("/"):
        if "," in text or ":" in parts[0]:
            raise InvalidInput(where, f"expected a path without commas, got {text!r}")
        return ImageName("/" + "/".join(parts), "path")
    return ImageName("/".join(parts) + ("/" if text.endswith("/") else ""), "input")
