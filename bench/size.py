"""Size of `pilot.pyz` and of what it holds: `python -m bench.size`."""

from __future__ import annotations

from bench import report
from tests.system import BUNDLE
from wrappers.bundle import sizes


def main() -> None:
    archive = BUNDLE.read_bytes()
    parts = sorted(sizes(archive).items(), key=lambda part: -part[1][0])
    rows = [(name, f"{packed:,}", f"{unpacked:,}") for name, (packed, unpacked) in parts]
    rows.append(("pilot.pyz", f"{len(archive):,}", f"{sum(unpacked for _, (_, unpacked) in parts):,}"))
    report.table("Size of pilot.pyz (bytes)", ("part", "packed", "unpacked"), rows, "≤ 2.5 MB")


if __name__ == "__main__":
    main()
