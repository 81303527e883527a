"""What a job needs, as a person writes it: the section ``needs`` of a job file."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Optional

from pilot import tags
from pilot.errors import InvalidInput
from pilot.fields import Fields, shown, strings
from pilot.protocol import Needs, Platform

MAX_CORES = 65_536
#: Characters of needs that are worth to be remembered.
_SHORT = 1000
_SITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MICROARCH = re.compile(r"(?:>=\s*)?v?([1-4])")


def read_needs(fields: Fields) -> Needs:
    """The needs of a job. Many jobs are written with the same, which are read once: it is half of reading a job."""
    written = fields.left.get("needs")
    try:
        text = repr(written)
    except (ValueError, RecursionError):  # numbers of thousands of digits, lists in lists in lists
        return _read(fields)
    known = _sound_needs(_Written(written, text)) if len(text) <= _SHORT else None
    if known is None:
        return _read(fields)
    fields.take("needs", None)
    return known


class _Written:
    """Needs as somebody wrote them. Those with equal texts are equal."""

    __slots__ = ("needs", "text")

    def __init__(self, needs: Any, text: str) -> None:
        self.needs = needs
        self.text = text

    def __hash__(self) -> int:
        return hash(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Written) and other.text == self.text


@lru_cache(maxsize=1024)
def _sound_needs(written: _Written) -> Optional[Needs]:
    """None: there is a problem, whose path hangs on the job."""
    problems: list[InvalidInput] = []
    needs = _read(Fields({"needs": written.needs}, "", problems))
    return None if problems else needs


def _read(fields: Fields) -> Needs:
    needs = fields.section("needs")
    cores, max_cores, whole_node = _cores(needs)
    memory = needs.size("memory")
    gpus, gpu_memory = _gpus(needs)
    sites = strings(needs, "sites", most=1000, each=_site, empty_is_wrong=True)
    not_sites = tuple(sorted(set(strings(needs, "not_sites", most=1000, each=_site))))
    anywhere = not sites or any(site.lower() == "any" for site in sites)
    allowed = None if anywhere else tuple(sorted(set(sites) - set(not_sites)))
    if allowed == ():
        needs.problem("sites", "every site named is also in `not_sites`: the job could run nowhere")
    isolation = needs.text("isolation", "none", choices=("none", "required"))
    result = Needs(
        cores=cores,
        max_cores=max_cores,
        whole_node=whole_node,
        memory=memory.fixed,
        memory_per_core=memory.per_core,
        disk=needs.bytes("disk", 0),
        gpus=gpus,
        gpu_memory=gpu_memory,
        wall_time=needs.duration("wall_time", 86400, least=1),
        tags=_tags(needs),
        sites=allowed,
        not_sites=not_sites,
        platform=_platform(needs),
        isolation=isolation == "required",
    )
    needs.finish()
    return result


def _cores(needs: Fields) -> tuple[int, int, bool]:
    value = needs.take("cores", 1)
    if value == "whole-node":
        return 1, MAX_CORES, True
    if isinstance(value, dict):
        bounds = Fields(value, needs.path("cores"), needs.problems)
        least = bounds.whole("min", 1, least=1, most=MAX_CORES)
        most = bounds.whole("max", least, least=1, most=MAX_CORES)
        bounds.finish()
        if most < least:
            needs.problem("cores", f"expected a maximum not below the minimum, got {most} < {least}")
        return least, most, False
    cores = needs.check_whole("cores", value, 1, MAX_CORES, "or {min, max}, or whole-node")
    return cores, cores, False


def _gpus(needs: Fields) -> tuple[int, int]:
    value = needs.take("gpus", 0)
    if isinstance(value, dict):
        inside = Fields(value, needs.path("gpus"), needs.problems)
        count, memory = inside.whole("count", 1, least=1, most=1024), inside.bytes("memory", 0)
        inside.finish()
        return count, memory
    return needs.check_whole("gpus", value, 0, 1024, "or {count, memory}"), 0


def _tags(needs: Fields) -> str:
    value = needs.take("tags", "")
    where = needs.path("tags")
    try:
        if isinstance(value, str):
            return tags.canonical(value, where)
        if isinstance(value, (list, tuple)) and all(isinstance(tag, str) for tag in value):
            # Each by itself, so that brackets cannot reach from one to the next.
            parts = [tags.canonical(tag, f"{where}[{index}]") for index, tag in enumerate(value[: tags.MAX_TERMS + 1])]
            return tags.canonical(" & ".join(f"({part})" for part in parts if part), where)
    except InvalidInput as problem:
        needs.problems.append(problem)
        return ""
    needs.problem("tags", f"expected an expression like cvmfs & ~slow-disk, got {shown(value)}")
    return ""


def _platform(needs: Fields) -> Platform:
    platform = needs.section("platform")
    arch = platform.text("arch", None, most=40)
    microarch = platform.text("microarch", None)
    glibc = platform.version("glibc", at_least=True)
    platform.finish()
    level = _MICROARCH.fullmatch(microarch) if microarch else None
    if microarch and not level:
        platform.problem("microarch", f"expected >=v1 to >=v4, got {shown(microarch)}")
    return Platform(arch, int(level[1]) if level else None, glibc)


def _site(value: str, where: str) -> str:
    if not _SITE.fullmatch(value):
        raise InvalidInput(where, f"expected a site's name, got {value!r}")
    return value
