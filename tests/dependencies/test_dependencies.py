"""What Pilotage brings along: pinned by digest, under licences that let it, without holes that others have mended."""

from __future__ import annotations

import datetime
import importlib.metadata
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.dependencies.advisories import ACCEPTED, Osv, Unreachable, to_mend
from tests.dependencies.licences import Said, copyleft, unlicensed, unused
from tests.dependencies.locks import TOP, extras, locks, reaching, unhashed

PROJECT = (TOP / "pyproject.toml").read_text()
#: An extra whose pins are at odds with the others' is in no lock, and nobody's but its user's to look after.
UNLOCKED = ("pycloudlib",)


def said(name: str) -> Said | None:
    """What the distribution that is installed here says."""
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    classifiers = [one for one in _all(found, "Classifier") if one.startswith("License :: ")]
    last = tuple(one.rpartition(" :: ")[2] for one in classifiers if one != "License :: OSI Approved")
    files = [file for file in found.files or () if "dist-info" in file.parts[0] and "licen" in file.name.lower()]
    text = Path(str(files[0].locate())).read_text(errors="replace") if files else ""
    return Said("".join(_all(found, "License-Expression")), "".join(_all(found, "License")), last, text)


def _all(found: importlib.metadata.Distribution, field: str) -> list[str]:
    return found.metadata.get_all(field) or []


def test_every_pin_has_its_digest(outcome: Callable[[str], None]) -> None:
    """Whatever an index or a proxy sends in its place is not installed."""
    files = sorted((TOP / "requirements").glob("*.lock"))
    assert len(files) >= 4
    assert [problem for path in files for problem in unhashed(path.stem, path.read_text())] == []
    outcome(f"{sum(map(len, locks().values()))} pins of {len(files)} locks have digests")


def test_licences_let_us(outcome: Callable[[str], None]) -> None:
    """Of all that is shipped, or comes with an extra; others are in the extras that CONTRIBUTING.md names."""
    ways = {way: names for way, names in reaching(locks(), PROJECT).items() if way not in UNLOCKED}
    assert all(ways.values()), "an extra without anything in the lock"
    named = copyleft((TOP / "CONTRIBUTING.md").read_text())
    assert unlicensed(ways, said, named) == []
    assert unused(ways, named, [extra for extra in extras(PROJECT) if extra not in UNLOCKED]) == []
    outcome(f"{len(frozenset().union(*ways.values()))} distributions that reach people have licences that allow it")


def test_no_advisory_is_known_that_others_have_mended(outcome: Callable[[str], None]) -> None:
    """Where OSV can be asked. Where it cannot, that is said, and the tests above are all that was done."""
    pins = [pin for pinned in locks().values() for pin in pinned]
    today = datetime.datetime.now(datetime.UTC).date()
    try:
        with Osv() as osv:
            found = osv.about(pins)
    except Unreachable as error:
        outcome(f"advisories cannot be reached ({error}), and were NOT looked at")
        pytest.skip(f"advisories cannot be reached: {error}")
    assert to_mend(found, ACCEPTED, today) == []
    outcome(f"advisories of OSV were looked at on {today}, {len(found)} known without a mended version")
