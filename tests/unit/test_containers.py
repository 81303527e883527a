"""Containers without any: what is decided before one is started, and what is understood when it has ended."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from commands.configure import decide
from commands.context import Capacity, Unfit
from pilot import imagename, jobfile
from pilot.attempts.containers import Containers, NoContainer, all_isolated, nameless, offerable, prepare, present
from pilot.attempts.directory import AttemptDirectory
from pilot.attempts.slots import Slot
from pilot.attempts.verdict import judge
from pilot.attempts.watchdog import Limits
from pilot.binds import Bind, parse_bind
from pilot.errors import InvalidInput, InvalidJob
from pilot.node.discovery import settle
from pilot.payloads.payload import Ended, Launch, Payload
from pilot.payloads.slot_users import SlotUser, SlotUsers
from pilot.policy import Policy, SitesWord
from pilot.protocol import Fact, JobSpec, Lease, Settings, Usage
from pilot.singularity.argv import ContainerPlan, arguments, environment_inside, environment_outside
from pilot.singularity.element import ContainerElement, understood
from pilot.singularity.images import ImageCache
from pilot.singularity.probe import Cannot, clean, facts, hides, last_words
from pilot.singularity.runtime import Runtime, flags_of, parse_version
from pilot.states import Outcome
from tests.pilot_fakes import FakeCentral

CASES = sorted((Path(__file__).parents[1] / "data" / "containers").glob("*.json"))
ROOT = Path("/scratch/pilot/attempts/7.1")
RUNTIME = Runtime(Path("/usr/bin/apptainer"), "apptainer", "apptainer 1.4.5", squashfs="mounted", hidden=True)


def plan_of(case: dict[str, Any]) -> ContainerPlan:
    about = dict(case.get("runtime", {}))
    if "program" in about:
        about["program"] = Path(about["program"])
    plan = dict(case["plan"])
    binds = tuple(parse_bind(text) for text in plan.pop("binds", ()))
    return ContainerPlan(replace(RUNTIME, **about), Path(plan.pop("image")), ROOT, binds, **plan)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_command_line(path: Path) -> None:
    """What is to run in a container becomes exactly the words of the file."""
    case = json.loads(path.read_text())
    assert list(arguments(plan_of(case), tuple(case["command"]))) == case["expected"]


def test_the_environment_inside() -> None:
    """Paths of the attempt have their names of inside; what speaks of the host stays outside, but for the job's."""
    plan = ContainerPlan(RUNTIME, Path("/i"), ROOT, own=frozenset(("PYTHONPATH",)))
    host = {
        "HOME": f"{ROOT}/home",
        "PWD": f"{ROOT}/job",
        "TMPDIR": f"{ROOT}/tmp",
        "PATH": "/usr/bin",
        "LD_LIBRARY_PATH": "/opt/lib",
        "PYTHONPATH": "lib",
        "TOKEN": f"{ROOT}/token",
        "OTHER": f"{ROOT}0/x",
        "WORDS": "$(id) `id`\nb",
    }
    assert environment_inside(host, plan) == {
        "TMPDIR": "/srv/tmp",
        "PYTHONPATH": "lib",
        "TOKEN": "/srv/token",
        "OTHER": f"{ROOT}0/x",
        "WORDS": "$(id) `id`\nb",
    }


def test_the_environment_of_the_runtime() -> None:
    """The runtime gets a PATH, places with the attempt, the mark, the payload's variables by its prefix: no more."""
    plan = ContainerPlan(RUNTIME, Path("/i"), ROOT)
    assert environment_outside({"A": "1"}, {"PATH": "/bin", "SECRET": "x"}, plan, "MARK=here") == {
        "APPTAINERENV_A": "1",
        "APPTAINERENV_MARK": "here",
        "APPTAINERENV_PILOTAGE_ATTEMPT_DIRECTORY": "/srv",
        "MARK": "here",
        "PATH": "/bin",
        "HOME": f"{ROOT}/home",
        "APPTAINER_CONFIGDIR": f"{ROOT}/tmp/.runtime",
        "APPTAINER_CACHEDIR": f"{ROOT}/tmp/.runtime",
        "APPTAINER_TMPDIR": f"{ROOT}/tmp",
    }
    old = replace(plan, runtime=replace(RUNTIME, name="singularity"))
    assert "SINGULARITYENV_A" in environment_outside({"A": "1"}, {"PATH": "/bin"}, old, "MARK=here")


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("/cvmfs", Bind("/cvmfs", "/cvmfs")),
        ("/a:/b", Bind("/a", "/b")),
        ("/a:/b:rw", Bind("/a", "/b", writable=True)),
        ("?/opt/licences", Bind("/opt/licences", "/opt/licences", optional=True)),
    ],
)
def test_a_bind(text: str, bind: Bind) -> None:
    """A bind names its source, perhaps its target and mode; it is read-only unless it says otherwise."""
    assert parse_bind(text) == bind


@pytest.mark.parametrize("text", ["", "data", "/a:b", "/a:/b:x", "/a:/b:ro:z", "/a,/b", "/a:/", "/a:/srv/x", "/../etc"])
def test_a_wrong_bind(text: str) -> None:
    """Relative paths, commas, unknown modes and the attempt's own place are refused."""
    with pytest.raises(InvalidInput):
        parse_bind(text)


def test_binds_that_are_not_there() -> None:
    """An optional source may be missing; any other that is missing keeps the payload from this node."""
    assert present(["/a", "?/b"], {"/a"}.__contains__) == (Bind("/a", "/a"),)
    with pytest.raises(NoContainer, match="/b, and it does not exist"):
        present(["/a", "/b"], {"/a"}.__contains__)


@pytest.mark.parametrize(
    ("text", "kind", "tags"),
    [
        ("images/a.sif", "input", ("container:apptainer", "container:sif")),
        ("./image/", "input", ("container:apptainer",)),
        ("images/mine", "input", ("container:apptainer", "container:sif")),
        ("/cvmfs/unpacked.example/debian:12", "path", ("container:apptainer",)),
        ("/images/a.sif", "path", ("container:apptainer", "container:sif")),
        ("docker://alpine:3", "registry", ("container:apptainer", "container:sif")),
    ],
)
def test_an_image_and_what_it_asks_for(text: str, kind: str, tags: tuple[str, ...]) -> None:
    """The name tells where an image is, and which proof a node needs to run it."""
    name = imagename.parse(text)
    assert (name.kind, name.tags) == (kind, tags)


@pytest.mark.parametrize("text", ["../a.sif", "", "ftp://x/a.sif", "docker://", "/", "/a,b", "{image}", "docker://a b"])
def test_a_wrong_image(text: str) -> None:
    """What is no place for an image is refused with what would be one."""
    with pytest.raises(InvalidInput, match="expected"):
        imagename.parse(text)


def test_a_job_with_an_image() -> None:
    """A container is a need: only nodes that proved to run it fit. An image that is not on the node travels along."""
    document = jobfile.parse({"command": ["x"], "container": "a.sif", "needs": {"tags": "a | b"}})
    assert document.inputs == ("a.sif",)
    assert document.spec.needs.tags == "(a | b) & container:apptainer & container:sif"
    folder = jobfile.parse(
        {"command": ["x"], "container": "im/", "inputs": ["im/"], "needs": {"isolation": "required"}}
    )
    assert folder.inputs == ("im/",)
    assert folder.spec.needs.tags == "container:apptainer & container:isolated"
    assert not folder.spec.needs.isolation
    assert jobfile.parse({"command": ["x"], "container": "/a.sif"}).inputs == ()
    with pytest.raises(InvalidJob, match="container"):
        jobfile.parse({"command": ["x"], "container": "../a.sif"})


NOBODY = SitesWord()  # restricts nothing


# -- policy ------------------------------------------------------------------------------------------------------------


def containers(found: Runtime | Cannot = RUNTIME, word: SitesWord = NOBODY, **settings: Any) -> Containers:
    element, images = ContainerElement(NoElement(), {}), ImageCache(Path("/nowhere"), 0)
    return Containers(Settings(**settings), word, lambda: found, element, images, FakeCentral(), lambda: 0.0)


class NoElement:
    """Starts nothing."""

    def start(self, launch: Launch) -> Payload:
        raise AssertionError("nothing is started here")


def lease(image: str = "") -> Lease:
    return Lease(7, 1, 600, JobSpec(command=("x",), container=image or None), "token", 1)


@pytest.mark.parametrize(
    ("settings", "image", "expected"),
    [
        ({}, "", None),
        ({}, "/a", "/a"),
        ({"containers": "required", "image": "/site"}, "", "/site"),
        ({"containers": "required", "image": "/site"}, "/a", "/a"),
        ({"containers": "required", "image": "/site", "job_images": False}, "/site", "/site"),
        ({"image": "/site"}, "", None),
    ],
)
def test_which_image(settings: dict[str, Any], image: str, expected: str | None) -> None:
    """The job's image goes before the queue's, which is for jobs without where containers are required."""
    name = containers(**settings).image_of(lease(image).spec)
    assert (name.text if name else None) == expected


@pytest.mark.parametrize(
    ("settings", "image", "why"),
    [
        ({"containers": "required"}, "", "neither the job nor the queue names an image"),
        ({"containers": "refused"}, "/a", "this queue runs none"),
        ({"containers": "required", "image": "/site", "job_images": False}, "/a", "the queue's own image"),
        ({"word": SitesWord((Policy("p", images=("/cvmfs/*",)),))}, "/a", "the site's policy"),
        ({"found": Cannot("user namespaces are off")}, "/etc", "user namespaces are off"),
        ({}, "/no/such/image", "is not on this node"),
        ({"bind": ("/no/such/place",)}, "/etc", "/no/such/place, and it does not exist"),
        ({"bind": ("/etc",), "word": SitesWord((Policy("p", paths=("/cvmfs",)),))}, "/etc", "let payloads see /etc"),
    ],
)
def test_no_container(settings: dict[str, Any], image: str, why: str, tmp_path: Path) -> None:
    """Whatever forbids a container is told in a sentence, and nothing is started."""
    with pytest.raises(NoContainer, match=why):
        containers(**settings).prepare(lease(image), Slot(1), AttemptDirectory(tmp_path), lambda seconds: True)


def test_a_pilot_without_containers_at_all(tmp_path: Path) -> None:
    """A job with an image is never run outside of it."""
    place, pause = AttemptDirectory(tmp_path), lambda seconds: True
    assert prepare(None, lease(), Slot(1), place, pause) is None
    with pytest.raises(NoContainer):
        prepare(None, lease("/etc"), Slot(1), place, pause)


def test_slot_users_without_account() -> None:
    """The runtime looks its user up: where one of the slots' users has no account no container is offered or run."""
    users = SlotUsers([SlotUser("slot20000", 20_000, 20_000)], lambda uid: False, lambda uid: True, lambda uid: None)
    accounts: dict[int, str] = {}
    problem = nameless(users, accounts.__getitem__)
    assert "user 20000 has none" in problem
    assert nameless(users, {20_000: "pilot1"}.__getitem__) == nameless(None, accounts.__getitem__) == ""
    capacity = Capacity(cores=1, tags=("avx", "container:apptainer", "container:sif"))
    assert offerable(capacity, replace(containers(), problem=problem)).tags == ("avx",)
    assert offerable(capacity, containers()) == offerable(capacity, None) == capacity
    with pytest.raises(NoContainer, match="user 20000"):
        replace(containers(), problem=problem).prepare(
            lease("/etc"), Slot(1), AttemptDirectory(Path("/x")), lambda seconds: True
        )


def test_isolation_is_offered_where_every_payload_has_a_container() -> None:
    """Isolation is a property of all that runs on the node: of required containers that were seen to hide the rest."""
    required = Settings(containers="required", image="/site")
    assert all_isolated(required, ("container:isolated",))
    assert not all_isolated(required, ())
    assert not all_isolated(Settings(), ("container:isolated",))


KNOWN = (Fact("cores", 4, "test"), *facts(RUNTIME))


def test_what_a_queue_lets_jobs_make_use_of() -> None:
    """Proved abilities are offered, but for images where the queue runs none, or its own alone."""
    proved = ("container:apptainer", "container:isolated", "container:sif")
    assert decide(KNOWN, Settings(), (), ()).tags == proved
    for settings in (Settings(containers="refused"), Settings(containers="required", image="/i", job_images=False)):
        assert decide(KNOWN, settings, (), ()).tags == ("container:isolated",)


def test_a_node_that_cannot_do_what_the_queue_asks_for() -> None:
    """Where every payload is to have a container, a node that can run none is not fit, and takes no job."""
    cannot = (Fact("cores", 4, "test"), *facts(Cannot("user namespaces are off")))
    assert decide(cannot, Settings(), (), ()).cores == 4
    with pytest.raises(Unfit, match="user namespaces are off"):
        decide(cannot, Settings(containers="required", image="/i"), (), ())


def test_a_declared_tag_is_no_proof() -> None:
    """A queue may declare any tag but those of containers: they hold where a probe proved them."""
    declared = ("cvmfs", "container:apptainer")
    found = settle(facts(Cannot("there is none")), declared)
    assert {fact.name: fact.value for fact in found if fact.value} == {"tag:cvmfs": True}


# -- how it ended ------------------------------------------------------------------------------------------------------

RED, PLAIN = b"\x1b[31m", b"\x1b[0m"


@pytest.mark.parametrize(
    ("code", "printed", "errors", "outcome", "exit_code", "signal"),
    [
        (0, b"", b"", Outcome.SUCCESS, 0, None),
        (5, b"", b"", Outcome.PAYLOAD_ERROR, 5, None),
        (137, b"", b"", Outcome.PAYLOAD_ERROR, None, 9),
        (143, b"x", b"", Outcome.PAYLOAD_ERROR, None, 15),
        (255, b"", b"", Outcome.PAYLOAD_ERROR, 255, None),
        (255, b"out", b"FATAL:   x\n", Outcome.PAYLOAD_ERROR, 255, None),
        (255, b"", b"mine\nFATAL:   x\n", Outcome.PAYLOAD_ERROR, 255, None),
        (255, b"", b'FATAL:   "a": executable file not found in $PATH\n', Outcome.PAYLOAD_ERROR, 127, None),
        (255, b"", b"FATAL:   stat /srv/job/a: no such file or directory\n", Outcome.PAYLOAD_ERROR, 127, None),
        (255, b"", RED + b"FATAL:   permission denied\n" + PLAIN, Outcome.PAYLOAD_ERROR, 126, None),
        (255, b"", b"FATAL:   could not open image /a: image format not recognized\n", Outcome.INPUT_ERROR, None, None),
        (255, b"", b"WARNING: a\nFATAL:   container creation failed: b\n", Outcome.NODE_FAULT, None, None),
    ],
)
def test_how_a_container_ended(
    code: int, printed: bytes, errors: bytes, outcome: Outcome, exit_code: int | None, signal: int | None
) -> None:
    """Exit codes and signals are the payload's; the runtime's own failures are told from them, and whose they are."""
    report = judge(understood(Ended(code, None, 0.0, None), printed, errors), None, Usage(), Limits())
    assert (report.outcome, report.exit_code, report.signal) == (outcome, exit_code, signal)
    assert report.message or outcome is Outcome.SUCCESS
    assert "\x1b" not in report.message


# -- probes ------------------------------------------------------------------------------------------------------------


def test_versions() -> None:
    """Apptainer, SingularityCE and the Singularity before them are told apart by what they print."""
    assert parse_version("apptainer version 1.4.5\n") == ("apptainer", "apptainer 1.4.5")
    assert parse_version("singularity-ce version 4.1.0-jammy") == ("singularity", "singularity-ce 4.1.0-jammy")
    assert parse_version("singularity version 3.8.7") == ("singularity", "singularity 3.8.7")
    assert parse_version("bash: no") is None


def test_flags_of_a_help() -> None:
    """The options are read from the help, which no version number can replace."""
    assert flags_of("  -c, --contain   use minimal\n      --no-eval  do not") == {"--contain", "--no-eval"}


def test_facts_of_a_runtime() -> None:
    """Each ability is a tag that is true or false, with what proved it."""
    values = {fact.name: fact.value for fact in facts(RUNTIME)}
    assert values == {
        "container": "apptainer 1.4.5",
        "tag:container:apptainer": True,
        "tag:container:sif": True,
        "tag:container:isolated": True,
    }
    weak = {fact.name: fact.value for fact in facts(replace(RUNTIME, hidden=False, squashfs=""))}
    assert (weak["tag:container:sif"], weak["tag:container:isolated"]) == (False, False)
    none = facts(Cannot("there is none"))
    assert {fact.value for fact in none} == {None, False}
    assert {fact.source for fact in none} == {"there is none"}


def test_what_a_trial_saw() -> None:
    """A payload is hidden when it saw no file of the host's and has processes of another namespace."""
    assert hides("pid:[2]\nok\n", "pid:[1]")
    assert not hides("pid:[1]\nok\n", "pid:[1]")
    assert not hides("pid:[2]\nseen\nok\n", "pid:[1]")
    assert not hides("\nok\n", "pid:[1]")


def test_the_runtime_s_words() -> None:
    """Its last line, without colours and level."""
    assert last_words("INFO:    a\n\x1b[31mFATAL:   b: c\x1b[0m\n\n") == "b: c"
    assert clean("mount: x") == "mount: x"
