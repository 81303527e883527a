"""Bundles at a real central: who may publish, what is refused, what pilots are told."""

from __future__ import annotations

import base64
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pilot.errors import Refusal
from pilot.pipelines import BundlePage, BundleView, PinRequest, PipelinePage
from pilot.protocol import Accepted, Step
from pilotage import signing
from pilotage.bundles import Built
from tests.integration.conftest import CentralMaker
from tests.integration.running_central import Person, RunningCentral
from tests.integration.wire_pilot import decoded
from tests.steps_scene import bundle_of

pytestmark = pytest.mark.integration

PIPELINE = """
[[pipelines]]
community = "physics"
replace = {prepare_software = "theirs:go"}
options = {"theirs:go" = {version = "v9"}}

[[pipelines]]
queue = "shared"
timeouts = {check_node = "30 s"}
"""
GOOD = "@command(needs=['node'], provides=['software'], timeout=30)\ndef go(context): return context\n"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The private key of physics, and the public one."""
    path = tmp_path_factory.mktemp("key") / "physics.key"
    return path, signing.make_key(path)


@pytest.fixture(scope="module")
def central(make_central: CentralMaker, key: tuple[Path, str]) -> RunningCentral:
    central = make_central(more=PIPELINE)
    central.end()
    settings = central.folder / "central.toml"
    settings.write_text(settings.read_text().replace('"physics"\n', f'"physics"\nbundle_keys = ["{key[1]}"]\n', 1))
    central.start()
    return central


def version(tmp_path: Path, number: int, source: str = GOOD) -> Built:
    """The bundle `theirs`, in several versions."""
    return bundle_of(tmp_path, f"{source}\n# version {number}\n")


def publish(
    who: Person, key: tuple[Path, str], built: Built, community: str = "physics", more: str = "", name: str = ""
) -> BundleView:
    signature = base64.urlsafe_b64encode(signing.sign(key[0], community, built)).decode()
    path = f"/v1/bundles/{name or built.manifest.name}/{built.sha256}?signature={signature}{more}"
    return decoded(who.request("PUT", path, data=built.content), BundleView)


def in_use(who: Person) -> list[str]:
    return [each.sha256 for each in who.read("/v1/bundles", BundlePage).bundles if each.in_use]


def test_before_it_is_there_the_pipeline_says_so(central: RunningCentral) -> None:
    """A pipeline whose bundle was not published is shown with what lacks, and said in the log of the central."""
    (view, *_) = central.person("ann").read("/v1/pipelines", PipelinePage).pipelines
    assert view.problems == ("no bundle of the community in use has the command theirs:go: there is none",)
    assert "The pipeline of a queue cannot be run" in central.words()


def test_a_published_bundle_reaches_pilots_of_its_community_alone(
    central: RunningCentral, key: tuple[Path, str], tmp_path: Path
) -> None:
    """A bound pilot is told its community's pipeline and bundle; one for several gets the site's and queue's layers."""
    built = version(tmp_path, 1)
    view = publish(central.person("cam"), key, built)
    assert (view.name, view.sha256, view.in_use, view.who) == ("theirs", built.sha256, True, "cam")
    bound = central.pilot(enrolled=False, queue="local", communities=("physics",))
    settings = bound.enrol().settings
    assert settings.pipeline[2] == Step("theirs:go", {"version": "v9"})
    (told,) = settings.bundles
    assert (told.name, told.sha256, told.size, told.community) == (
        "theirs",
        built.sha256,
        len(built.content),
        "physics",
    )
    answer = bound.http.get(central.url + told.urls[0], timeout=10)
    assert answer.content == built.content
    several = central.pilot(enrolled=False, queue="shared", communities=("physics", "biology")).enrol().settings
    assert several.bundles == ()
    assert several.pipeline[0] == Step("check_node", {}, 30)
    assert "theirs:go" not in [step.command for step in several.pipeline]


def test_it_is_put_into_use_and_taken_back(central: RunningCentral, key: tuple[Path, str], tmp_path: Path) -> None:
    """A newer one takes its place; pin and rollback choose another, and the history goes back one by one."""
    cam = central.person("cam")
    one, two, three = (version(tmp_path, number) for number in (11, 12, 13))
    publish(cam, key, one)
    publish(cam, key, two)
    publish(cam, key, three, more="&use=false")
    assert in_use(cam) == [two.sha256]
    cam.say("/v1/bundles/theirs/pin", PinRequest(three.sha256), Accepted)
    assert in_use(cam) == [three.sha256]
    back = decoded(cam.request("POST", "/v1/bundles/theirs/rollback"), PinRequest)
    assert back.sha256 == two.sha256
    assert decoded(cam.request("POST", "/v1/bundles/theirs/rollback"), PinRequest).sha256 == one.sha256
    assert in_use(cam) == [one.sha256]


def test_what_was_published_survives_a_restart(central: RunningCentral, key: tuple[Path, str], tmp_path: Path) -> None:
    """A bundle and what is in use are durable when the answer is out."""
    built = version(tmp_path, 21)
    publish(central.person("cam"), key, built)
    central.kill()
    central.start()
    assert in_use(central.person("ann")) == [built.sha256]


@pytest.mark.parametrize(
    ("case", "kind", "words"),
    [
        ("a member", "forbidden", "this is for: community-admin"),
        ("another community", "invalid", "only operators act for other communities"),
        ("another key", "forbidden", "no key of the community physics has signed this"),
        ("signed for another", "forbidden", "no key of the community physics has signed this"),
        ("no keys", "forbidden", "the settings have no `bundle_keys` for the community biology"),
        ("another name", "forbidden", "no key of the community physics has signed this"),
        ("tampered", "digest-mismatch", "the bytes have the SHA-256"),
        ("not a zip", "invalid", "expected a zip archive that is whole"),
        ("breaks the pipeline", "invalid", "the pipeline of the queue local cannot be run with it: configure needs"),
        ("lacks the command", "invalid", "no bundle of the community in use has the command theirs:go"),
    ],
)
def test_what_is_refused(
    central: RunningCentral, key: tuple[Path, str], tmp_path: Path, case: str, kind: str, words: str
) -> None:
    """Who may not, what nobody signed, what is not whole and what would break a pipeline is refused, and changes
    nothing."""
    cam = central.person("cam")
    publish(cam, key, version(tmp_path, 31))
    before, built = in_use(cam), version(tmp_path, 32)
    with pytest.raises(Refusal, match=".*") as caught:
        refused_case(central, key, tmp_path, case, built)
    assert caught.value.type == kind
    assert words in str(caught.value)
    assert in_use(cam) == before


def refused_case(central: RunningCentral, key: tuple[Path, str], tmp_path: Path, case: str, built: Built) -> None:
    """Do what is to be refused."""
    cam, oli = central.person("cam"), central.person("oli")
    other = (tmp_path / "other.key", signing.make_key(tmp_path / "other.key"))
    wrong = "@command(needs=['node'], provides=['else'], timeout=30)\ndef go(context): return context\n"
    lacking = "@command(timeout=30)\ndef came(context): return context\n"
    if case == "a member":
        publish(central.person("ann"), key, built)
    elif case == "another community":
        publish(cam, key, built, "biology", "&community=biology")
    elif case == "another key":
        publish(cam, other, built)
    elif case == "signed for another":
        publish(cam, key, built, "biology")
    elif case == "no keys":
        publish(oli, key, built, "biology", "&community=biology")
    elif case == "another name":
        publish(cam, key, built, name="tools")
    elif case == "tampered":
        content = built.content[:-1] + b"x"
        cam_says = f"/v1/bundles/theirs/{built.sha256}?signature=AAAA"
        decoded(cam.request("PUT", cam_says, data=content), BundleView)
    elif case == "not a zip":
        publish(cam, key, replace(built, content=b"no zip at all"))
    elif case == "breaks the pipeline":
        publish(cam, key, version(tmp_path, 33, wrong))
    else:
        publish(cam, key, version(tmp_path, 34, lacking))


def test_a_module_of_another_bundle_is_refused(central: RunningCentral, key: tuple[Path, str], tmp_path: Path) -> None:
    """Of two modules of one name nobody could say which is imported."""
    cam = central.person("cam")
    publish(cam, key, version(tmp_path, 41))
    with pytest.raises(Refusal, match="the bundle theirs has a module theirs as well: rename one"):
        publish(cam, key, bundle_of(tmp_path, GOOD, "more"))


def test_the_command_line_lists_and_chooses(central: RunningCentral, key: tuple[Path, str], tmp_path: Path) -> None:
    """`bundle list` shows what is in use, `pin` takes the first digits of a digest, `rollback` says where it went."""
    cam = central.person("cam")
    one, two = version(tmp_path, 51), version(tmp_path, 52)
    publish(cam, key, one)
    publish(cam, key, two)
    (row,) = [line for line in typed(central, "bundle", "list").splitlines() if "in use" in line]
    assert two.sha256[:12] in row
    assert "theirs:go" in row
    assert one.sha256[:12] in typed(central, "bundle", "pin", "theirs", one.sha256[:8])
    assert in_use(cam) == [one.sha256]
    typed(central, "bundle", "rollback", "theirs")
    assert in_use(cam) != [one.sha256]
    assert "No bundles theirs begin with 0000" in typed(central, "bundle", "pin", "theirs", "0000", code=1)


def typed(central: RunningCentral, *words: str, code: int = 0) -> str:
    """What the command line says to the operator."""
    done = subprocess.run(
        [sys.executable, "-m", "pilotage", *words, "--folder", str(central.folder)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_too_large_is_refused_before_it_is_read(central: RunningCentral) -> None:
    """A body beyond the bound is not taken in."""
    answer = central.person("cam").request(
        "PUT", f"/v1/bundles/theirs/{'a' * 64}?signature=AAAA", data=b"0" * (10 * 1024 * 1024 + 1)
    )
    assert answer.status_code == 413


def test_others_do_not_see_it(central: RunningCentral) -> None:
    """Another community's people see neither bundles nor pipelines that are not theirs; nobody guesses a digest."""
    dan = central.person("dan")
    assert dan.read("/v1/bundles", BundlePage).bundles == ()
    assert [view.queue for view in dan.read("/v1/pipelines", PipelinePage).pipelines] == ["shared"]
    assert central.person(None).request("GET", f"/v1/bundles/{'0' * 64}").status_code == 404
