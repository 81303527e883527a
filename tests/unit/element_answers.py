"""What tests of batch systems share: captured answers of tests/data/elements, stamps, and a job."""

from __future__ import annotations

from pathlib import Path

from central.elements.host import Ran
from central.elements.port import Request
from central.elements.system import Job

ANSWERS = Path(__file__).parent.parent / "data" / "elements"


def stamp(number: int) -> str:
    """The stamps of the captured jobs count from 1."""
    return f"{number:032x}"


def job(request: Request | None = None) -> Job:
    return Job(stamp(1), f"/home/us/pilots/{stamp(1)}", request or Request())


def captured(name: str, code: int = 0) -> Ran:
    """A file of tests/data/elements as what a program printed: as its output, or as its complaint where it failed."""
    content = (ANSWERS / name).read_bytes()
    return Ran(code, b"", content) if code else Ran(0, content, b"")
