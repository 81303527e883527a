"""What of the account no setting of a job opens to its payload, where containers keep payloads from each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pilot.attempts.containers import NoContainer
from pilot.attempts.directory import AttemptDirectory
from pilot.attempts.own_places import belongs
from pilot.attempts.slots import Slot
from pilot.singularity.argv import ContainerPlan, arguments, environment_inside, environment_outside
from pilot.singularity.element import ContainerElement
from pilot.singularity.images import ImageCache
from pilot.states import Outcome
from tests.unit.test_containers import ROOT, RUNTIME, NoElement, containers, lease


def test_no_variable_of_a_job_opens_the_account() -> None:
    """Whatever a job sets, its home is a folder of its own, and the runtime's own settings are the pilot's."""
    names = (
        "HOME",
        "APPTAINER_HOME",
        "APPTAINER_BIND",
        "APPTAINER_NO_HOME",
        "APPTAINERENV_HOME",
        "SINGULARITY_BINDPATH",
    )
    own = dict.fromkeys((*names, "APPTAINER_CONFIGDIR", "APPTAINER_WRITABLE"), "/home/account")
    plan = ContainerPlan(RUNTIME, Path("/i"), ROOT, own=frozenset(own))
    outside = environment_outside(environment_inside(own, plan), {"PATH": "/bin"}, plan, "MARK=here")
    assert outside["HOME"] == f"{ROOT}/home"
    assert outside["APPTAINER_CONFIGDIR"] == f"{ROOT}/tmp/.runtime"
    assert "APPTAINERENV_HOME" not in outside
    assert {name for name, text in outside.items() if text == "/home/account"} == {
        f"APPTAINERENV_{name}" for name in own if name != "HOME"
    }
    words = arguments(plan, ("true",))
    assert "--contain" in words
    assert words[words.index("--home") + 1] == f"{ROOT}/home:/srv/home"


@pytest.mark.parametrize("way", ["itself", "what is in it", "what holds it", "a link to it", "by way of /proc"])
@pytest.mark.parametrize("whose", ["home", "work"])
def test_no_image_of_a_job_opens_the_account(
    whose: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where containers keep payloads from each other a folder with the account's files is nobody's image."""
    monkeypatch.setattr("pilot.attempts.own_places.EVERYBODYS", ())  # where the tests' own folders are
    work, home, link = tmp_path / "a" / "work", tmp_path / "b" / "home", tmp_path / "c"
    for place in (work / "attempts" / "9.1" / "job", home / ".ssh"):
        place.mkdir(parents=True)
    target = {"home": home, "work": work}[whose]
    link.symlink_to(target)
    images = {
        "itself": target,
        "what is in it": {"home": home / ".ssh", "work": work / "attempts" / "9.1" / "job"}[whose],
        "what holds it": target.parent,
        "a link to it": link,
        "by way of /proc": Path(f"/proc/self/root{target}"),
    }
    kept = replace(
        containers(containers="required", image="/site"), element=ContainerElement(NoElement(), {"HOME": str(home)})
    )
    with pytest.raises(NoContainer, match="the pilot's account's") as refused:
        kept.prepare(
            lease(str(images[way])), Slot(1), AttemptDirectory(work / "attempts" / "7.1"), lambda seconds: True
        )
    assert refused.value.outcome is Outcome.INPUT_ERROR


@pytest.mark.parametrize("where", ["images", "cache"])
def test_nor_does_what_is_kept_for_others(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image or an input of another community is there as a file, under a name that can be known."""
    monkeypatch.setattr("pilot.attempts.own_places.EVERYBODYS", ())  # where the tests' own folders are
    image = tmp_path / where / "inputs" / "e3b0.sif"
    image.parent.mkdir(parents=True)
    image.touch()
    kept = containers(containers="required", image="/site")
    kept = replace(kept, images=ImageCache(tmp_path / "images", 0), cache=tmp_path / "cache")
    place = AttemptDirectory(tmp_path / "work" / "attempts" / "7.1")
    with pytest.raises(NoContainer, match="the pilot's account's"):
        kept.prepare(lease(str(image)), Slot(1), place, lambda seconds: True)


@pytest.mark.parametrize("image", ["/proc/self/root", "/tmp", "/dev", "/var", "/run"])
def test_nor_does_what_all_accounts_use(image: str, tmp_path: Path) -> None:
    """Neither by what runs nor by where everybody writes."""
    kept = containers(containers="required", image="/site")
    with pytest.raises(NoContainer, match="the pilot's account's"):
        kept.prepare(lease(image), Slot(1), AttemptDirectory(tmp_path / "attempts" / "7.1"), lambda seconds: True)


def test_folders_of_the_account_itself() -> None:
    """One that the pilot's account owns shows what it keeps there, wherever; of root's that says nothing."""
    usr = Path("/usr")
    assert belongs(usr, (), usr.stat().st_uid) is (usr.stat().st_uid != 0)
    assert not belongs(usr, (), 4711)
    assert not belongs(usr, (Path("/home/account"),), 0)
    mine = Path(__file__).parent
    assert belongs(mine, (), mine.stat().st_uid or 0) is (mine.stat().st_uid != 0)
    assert not belongs(Path(__file__), (), mine.stat().st_uid)


def test_an_image_of_the_node(tmp_path: Path) -> None:
    """Any other is a job's to name; and where containers keep nobody from anybody, every one is."""
    place = AttemptDirectory(tmp_path / "attempts" / "7.1")
    ways: tuple[dict[str, Any], ...] = (
        {"containers": "required", "image": "/site"},
        {"containers": "required", "image": "/usr"},
        {},
    )
    for settings in ways:
        found = containers(**settings).prepare(lease("/usr"), Slot(1), place, lambda seconds: True)
        assert found is not None
        assert found.plan.image == Path("/usr")
    found = containers().prepare(lease(str(tmp_path)), Slot(1), place, lambda seconds: True)
    assert found is not None
