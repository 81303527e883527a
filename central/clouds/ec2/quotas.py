"""What an account may have of EC2's machines, by family of their types: pure.

EC2 counts virtual CPUs, apart for each group of families, and apart for spot. Which families a quota is of stands in
its name alone: "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", "All P4, P3 and P2 Spot Instance
Requests", "Running On-Demand G and VT instances".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_ON_DEMAND = re.compile(r"Running On-Demand (.+) instances")
_SPOT = re.compile(r"All (.+) Spot Instance Requests")
_PLAIN = re.compile(r"Standard \((.+)\)")
_FAMILY = re.compile(r"[A-Z][A-Za-z]*[0-9]*")
_LETTERS = re.compile(r"[a-z]+")


def families(name: str, spot: bool) -> frozenset[str]:
    """Which a quota of this name is of: "c", "vt", "p4"; empty: it is of something else, or not of this market."""
    match = (_SPOT if spot else _ON_DEMAND).fullmatch(name)
    if match is None:
        return frozenset()
    plain = _PLAIN.fullmatch(match[1])
    return frozenset(word.lower() for word in _FAMILY.findall(plain[1] if plain else match[1]))


def covers(named: frozenset[str], flavor: str) -> bool:
    """Whether a type, as "p4d.24xlarge", is of these families: by its letters, "p", or with its number, "p4"."""
    head = flavor.partition(".")[0]
    letters = match[0] if (match := _LETTERS.match(head)) else head
    first = re.match(r"[a-z]+[0-9]+", head)
    return letters in named or (first is not None and first[0] in named) or _high_memory(named, head)


def of(quotas: Iterable[Mapping[str, Any]], flavor: str, spot: bool) -> tuple[int, frozenset[str]] | None:
    """How many virtual CPUs machines of this type may have, and the families that count with it; None: no quota is
    known that is of it."""
    for quota in quotas:
        named = families(quota.get("QuotaName", ""), spot)
        if named and covers(named, flavor):
            return int(quota["Value"]), named
    return None


def machines(attributes: Iterable[Mapping[str, Any]]) -> int | None:
    """How many an account of another cloud may have, as it says; None: it does not."""
    for attribute in attributes:
        for value in attribute.get("AttributeValues", ()):
            if attribute.get("AttributeName") == "max-instances" and str(value.get("AttributeValue", "")).isdigit():
                return int(value["AttributeValue"])
    return None


def cores_of(instance: Mapping[str, Any]) -> int:
    """Virtual CPUs that a machine counts."""
    options: Mapping[str, int] = instance.get("CpuOptions", {})
    return max(1, options.get("CoreCount", 1) * options.get("ThreadsPerCore", 1))


def _high_memory(named: frozenset[str], head: str) -> bool:
    return named == {"high", "memory"} and re.match(r"u-?[0-9]", head) is not None
