"""Which release this is."""

from __future__ import annotations

from functools import cache
from importlib import metadata


@cache
def software_version() -> str:
    """The version of the installed distribution."""
    try:
        return metadata.version("pilotage")
    except metadata.PackageNotFoundError:
        return "0+unknown"
