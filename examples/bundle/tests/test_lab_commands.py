"""The commands of the example, tried without a pilot."""

from pathlib import Path

import pytest
from lab_commands import check_licence, choose_release

from commands import Unfit
from commands.testing import Ran, attempt


def releases(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).mkdir()
    return folder


def test_a_licence_server_that_is_known_is_a_tag() -> None:
    """Where the server is known, jobs may ask for the tag."""
    programs = {"getent hosts licence.lab": "192.0.2.7  licence.lab\n"}
    tried = attempt(check_licence, options={"server": "licence.lab"}, programs=programs)
    assert tried.tags == {"lab-licence": True}
    assert tried.said == ["the licence server is 192.0.2.7"]


def test_without_a_licence_server_no_job_is_lost() -> None:
    """A machine that does not know the server is not fit."""
    with pytest.raises(Unfit, match=r"the licence server licence\.lab is not known"):
        attempt(check_licence, options={"server": "licence.lab"}, programs={"getent hosts licence.lab": Ran(2, "")})


def test_the_server_must_be_configured() -> None:
    """Without the option it says what is missing."""
    with pytest.raises(Unfit, match="the option `server`"):
        attempt(check_licence)


def test_the_newest_release_is_taken(tmp_path: Path) -> None:
    """Numbers count as numbers, and payloads find the release first on their PATH."""
    area = releases(tmp_path, "v9.2", "v9.10", "old")
    tried = attempt(choose_release, options={"area": str(area)}, environment={"PATH": "/usr/bin"})
    assert tried.facts == {"lab_release": "v9.10"}
    assert tried.tags == {"lab-v9.10": True}
    assert tried.environment["PATH"] == f"{area}/v9.10/bin:/usr/bin"


def test_another_release_may_be_asked_for(tmp_path: Path) -> None:
    """The option `release` names one; it must be there."""
    area = releases(tmp_path, "v9.2", "v9.10")
    tried = attempt(choose_release, options={"area": str(area), "release": "v9.2"})
    assert tried.environment["LAB_ROOT"] == f"{area}/v9.2"
    with pytest.raises(Unfit, match=r"has no release v1\.0: it has v9\.2, v9\.10"):
        attempt(choose_release, options={"area": str(area), "release": "v1.0"})
