"""Which release this is."""

from __future__ import annotations

from importlib import metadata


def software_version() -> str:
    """The version of the installed distribution."""
    try:
        return metadata.version("pilotage")
    except metadata.PackageNotFoundError:
        return "0+unknown"
