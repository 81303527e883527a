"""A distribution that is installed beside Pilotage and adds kinds, for tests of plug-ins."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest


def install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, module: str, source: str, group: str, kinds: Mapping[str, str]
) -> None:
    """As an installer would have left it: one module, and an entry point of the group for each kind."""
    (folder / f"{module}.py").write_text(source)
    place = folder / "mine-1.0.dist-info"
    place.mkdir()
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    points = "".join(f"{kind} = {value}\n" for kind, value in kinds.items())
    (place / "entry_points.txt").write_text(f"[{group}]\n{points}")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, module, raising=False)
