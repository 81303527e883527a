"""Communities and groups that are added while the central runs: what is kept of each, and what it adds to the settings.

A group is called ``community/group`` where it is kept, so that each community may have one of a name.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace

from central.added import PlaceRow
from central.configuration.settings import CentralSettings, Community, Group
from central.configuration.settings_fields import name, share
from pilot.errors import InvalidInput, PilotageError
from pilot.fields import Fields

COMMUNITY, GROUP = "community", "group"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
#: Shares are numbers above 0, up to this.
MOST_SHARE = 1e6


def check_name(what: str, value: str) -> None:
    """Raises `InvalidInput`."""
    if not _NAME.fullmatch(value):
        raise InvalidInput(what, f"expected letters, digits, '.', '_' and '-', at most 100, got {value[:120]!r}")


def text(name: str, share: float) -> str:
    """A community or a group as it is kept. Raises `InvalidInput`."""
    if not 0 < share <= MOST_SHARE:
        raise InvalidInput("share", f"expected a number above 0, at most {MOST_SHARE:g}, got {share:g}")
    return f'name = "{name}"\nshare = {share!r}\n'


def key(community: str, group: str) -> str:
    """What a group is kept as."""
    return f"{community}/{group}"


def find(settings: CentralSettings, community: str) -> Community | None:
    return next((one for one in settings.communities if one.name == community), None)


def find_group(community: Community, group: str) -> Group | None:
    return next((one for one in community.groups if one.name == group), None)


def declares(file: CentralSettings, kind: str, name: str) -> bool:
    """Whether a settings file has that community or group."""
    community, _, group = name.partition("/")
    found = find(file, community)
    return found is not None and (kind == COMMUNITY or find_group(found, group) is not None)


def with_community(settings: CentralSettings, row: PlaceRow) -> CentralSettings:
    """The settings and that community. Raises `PilotageError`."""
    if find(settings, row.name) is not None:
        raise PilotageError(f"central.toml declares a community {row.name}, which counts")
    found, due = _read(row)
    return replace(settings, communities=(*settings.communities, Community(found, due)))


def with_group(settings: CentralSettings, row: PlaceRow) -> CentralSettings:
    """The settings and that group in its community. Raises `PilotageError`."""
    whose, _, group = row.name.partition("/")
    community = find(settings, whose)
    if community is None:
        raise PilotageError(f"there is no community {whose}: it counts once one of that name is there")
    if find_group(community, group) is not None:
        raise PilotageError(f"central.toml declares a group {group} of {whose}, which counts")
    found, due = _read(row)
    wider = replace(community, groups=(*community.groups, Group(found, due)))
    return replace(settings, communities=tuple(wider if one is community else one for one in settings.communities))


def _read(row: PlaceRow) -> tuple[str, float]:
    problems: list[InvalidInput] = []
    try:
        fields = Fields(tomllib.loads(row.text), "", problems)
    except tomllib.TOMLDecodeError as error:
        raise PilotageError(f"{row.kind} {row.name}: this is not TOML: {error}") from error
    found, due = name(fields), share(fields)
    fields.finish()
    if problems:
        raise PilotageError("; ".join(f"{row.kind} {row.name}: {problem}" for problem in problems))
    return found, due
