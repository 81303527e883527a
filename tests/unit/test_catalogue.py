"""The catalogue of errors: every end has a code, every code a line, and the documentation says the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from central.directors.backoff import Past, PilotEnd
from central.directors.control import Demand, Limits, Supply, wanted
from central.store.decide import left_behind
from pilot.attempts import watchdog
from pilot.attempts.carrier import Carrier
from pilot.attempts.containers import NoContainer
from pilot.attempts.inputs import StageIn
from pilot.attempts.verdict import beyond, judge
from pilot.attempts.watchdog import Exceeded
from pilot.catalogue import CATALOGUE, CLASSES, BackOff, entry
from pilot.codes import AttemptCode, PilotCode, of_attempt, of_outcome, of_pilot
from pilot.destinations.cache import InputCache
from pilot.destinations.port import NotAllowed, NotThere
from pilot.errors import InvalidInput, PilotageError, Refusal
from pilot.payloads.payload import Ended
from pilot.protocol import InputFile, JobSpec, Lease, Needs, Usage
from pilot.states import FAULTS, SITE_DRAINS, JobState, Outcome, Phase, PilotReason, PilotState
from pilot.views import AttemptView, JobDetail, JobExplanation, JobView, PilotDetail, PilotView
from pilotage.rendering_errors import code_facts, errors_page
from tests.unit.test_cli import FakeClient, run

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"


def test_every_code_has_one_line() -> None:
    """Each code is in the catalogue once, in a class that is explained; those of pilots say what directors do."""
    codes = [*AttemptCode, *PilotCode]
    assert list(CATALOGUE) == [code.value for code in codes]
    for code in codes:
        line = CATALOGUE[code.value]
        assert line.group in CLASSES
        assert line.means.endswith("."), code
        assert line.todo.endswith("."), code
        assert (line.back_off is not None) == isinstance(code, PilotCode)
    assert {line.group for line in CATALOGUE.values()} == set(CLASSES)
    assert 35 <= len(codes) <= 45


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_a_code(outcome: Outcome) -> None:
    """Whatever an attempt ended as has a code, but for success."""
    assert (of_attempt(outcome) is None) == (outcome is Outcome.SUCCESS)


@pytest.mark.parametrize("reason", PilotReason)
def test_every_reason_has_a_code(reason: PilotReason) -> None:
    """Whatever a pilot ended for has a code, and the faults among the reasons make directors wait."""
    code = of_pilot(reason)
    assert code is not None
    found = entry(code.value)
    assert found is not None
    assert reason not in FAULTS or found.back_off is not BackOff.NONE


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ({"outcome": Outcome.PAYLOAD_ERROR, "exit_code": 3}, AttemptCode.EXIT),
        ({"outcome": Outcome.PAYLOAD_ERROR, "exit_code": 127}, AttemptCode.CANNOT_START),
        ({"outcome": Outcome.PAYLOAD_ERROR, "signal": 11}, AttemptCode.SIGNAL),
        ({"outcome": Outcome.PAYLOAD_ERROR, "signal": 9}, AttemptCode.KILLED_OUTSIDE),
        ({"outcome": Outcome.PAYLOAD_ERROR, "exit_code": 137}, AttemptCode.KILLED_OUTSIDE),
        ({"outcome": Outcome.LIMIT_EXCEEDED, "limit": "memory"}, AttemptCode.MEMORY),
        ({"outcome": Outcome.LIMIT_EXCEEDED, "limit": "no_progress"}, AttemptCode.NO_PROGRESS),
        ({"outcome": Outcome.LIMIT_EXCEEDED, "limit": "patience"}, AttemptCode.LIMIT),
        ({"outcome": Outcome.LOST}, AttemptCode.LEASE),
        ({"outcome": Outcome.INPUT_ERROR, "said": "files.input-changed"}, AttemptCode.INPUT_CHANGED),
        ({"outcome": Outcome.INPUT_ERROR, "said": "files.of-next-year"}, AttemptCode.INPUT),
        ({"outcome": Outcome.NODE_FAULT, "said": "end.drained"}, AttemptCode.FAULT),
        ({"outcome": Outcome.SUCCESS, "said": "limit.memory"}, None),
        ({"outcome": None}, None),
    ],
)
def test_the_code_of_an_end(end: dict[str, object], code: AttemptCode | None) -> None:
    """The code follows from what a report says; one that the pilot names goes before, if it can be."""
    assert of_attempt(**end) is code  # type: ignore[arg-type]


def test_a_site_that_drains_is_no_order() -> None:
    """A pilot that the site drained has another code than one that was ordered to, and another weight."""
    assert of_pilot(PilotReason.DRAINED, "by ada") is PilotCode.DRAINED
    assert of_pilot(PilotReason.DRAINED, f"{SITE_DRAINS} (/etc/x)") is PilotCode.SITE_DRAINS


def test_what_the_central_ends_has_a_code() -> None:
    """An attempt that a pilot left behind says so, unless it was preempted."""
    assert left_behind(PilotReason.AGENT_DIED, "").code == AttemptCode.PILOT_ENDED
    assert left_behind(PilotReason.HALTED, "").code == ""


def test_directors_wait_as_the_catalogue_says() -> None:
    """What another pilot would meet as well slows a queue down, longer where a person has to do something first."""
    ends = {reason: PilotEnd(0.0, reason, useful=False).back_off for reason in PilotReason}
    assert ends[PilotReason.UNFIT] is BackOff.SLOW
    assert ends[PilotReason.SUBMIT_FAILED] is BackOff.LONG
    assert ends[PilotReason.IDLE] is BackOff.NONE
    assert PilotEnd(0.0, None, useful=False).back_off is BackOff.SLOW

    def sent(reason: PilotReason, now: float) -> int:
        end = PilotEnd(0.0, reason, useful=False)
        return wanted(Demand(1, 1), Supply(0, 0, 0), Limits(5, 5, 1), Past([end]), now).pilots

    assert [sent(PilotReason.UNFIT, now) for now in (5.0, 20.0, 200.0)] == [0, 1, 1]
    assert [sent(PilotReason.SUBMIT_FAILED, now) for now in (5.0, 20.0, 200.0)] == [0, 0, 1]


def test_the_page_is_the_catalogue() -> None:
    """docs/errors.md is what the code says; when it is not: `pilotage errors --page > docs/errors.md`."""
    assert PAGE.read_text() == errors_page()


def test_errors_are_explained_without_a_central() -> None:
    """`pilotage errors` explains a code, lists a class, and says when there is none such; it asks nobody."""
    one = run(FakeClient(), "errors", "limit.memory")
    assert one.stdout.splitlines()[0].split(None, 1) == ["error", f"limit.memory: {CATALOGUE['limit.memory'].means}"]
    files = run(FakeClient(), "errors", "files").stdout.splitlines()
    assert [line.split()[0] for line in files[1:]] == [code for code in CATALOGUE if code.startswith("files.")]
    assert len(run(FakeClient(), "errors").stdout.splitlines()) == len(CATALOGUE) + 1
    assert run(FakeClient(), "errors", "--page").stdout == errors_page()
    with pytest.raises(Exception, match="There is no code, class, outcome or refusal thirst"):
        run(FakeClient(), "errors", "thirst")


@pytest.mark.parametrize("outcome", [one for one in Outcome if one is not Outcome.SUCCESS])
def test_errors_are_found_by_outcome(outcome: Outcome) -> None:
    """Each outcome that is no success has codes, the one that its attempts get among them."""
    codes = of_outcome(outcome)
    assert of_attempt(outcome) in codes
    shown = json.loads(run(FakeClient(), "errors", outcome.value, "--json").stdout)["errors"]
    assert {one["code"] for one in shown} == {code.value for code in codes}


def test_what_is_nearly_a_code_is_told() -> None:
    """A word that is none is answered with those that are near it; a refusal is explained too."""
    for said, meant in (("memroy", "limit.memory"), ("limit_memory", "limit.memory"), ("output-eror", "output-error")):
        with pytest.raises(PilotageError, match=f"did you mean .*{meant}"):
            run(FakeClient(), "errors", said)
    with pytest.raises(PilotageError, match=r"or refusal qqq\. `pilotage errors`"):
        run(FakeClient(), "errors", "qqq")
    assert "Too much at once" in run(FakeClient(), "errors", "busy").stdout
    assert json.loads(run(FakeClient(), "errors", "busy", "--json").stdout)["refusals"]["busy"]["status"] == 503


def test_a_code_of_a_newer_central_is_shown_as_it_is() -> None:
    """A code that this program does not know is shown without words."""
    assert code_facts("files.of-next-year") == [("error", "files.of-next-year")]


# -- what the pilot says


class Nowhere:
    """A store of sandboxes from which nothing is to be had, for the reason given."""

    def __init__(self, problem: Exception) -> None:
        self.problem = problem

    def fetch(self, lease: Lease, sha256: str, size: int, target: Path) -> None:
        raise self.problem


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (Refusal("not-found", "no such file"), AttemptCode.INPUT_MISSING),
        (InvalidInput("", "expected SHA-256 1, got 2"), AttemptCode.INPUT_CHANGED),
        (Refusal("forbidden", "not yours"), AttemptCode.INPUT),
        (NotThere("GET https://x: 404"), AttemptCode.INPUT_MISSING),
        (NotAllowed("GET https://x: 403"), AttemptCode.CREDENTIAL),
    ],
)
def test_why_an_input_could_not_be_had(tmp_path: Path, problem: Exception, code: AttemptCode) -> None:
    """An attempt tells an input that is missing from one that is not what it was."""
    lease = Lease(1, 1, 60, JobSpec(("true",), inputs=(InputFile("a", "0" * 64, 1),)), "token", 1)
    carrier = Carrier(lease, tmp_path, Nowhere(problem), lambda: 0.0)  # type: ignore[arg-type]
    stage = StageIn(carrier, InputCache(tmp_path / "cache", 0), lambda deadline: lambda seconds: False)
    assert stage.bring().startswith("the input 'a' cannot be had")
    assert stage.code is code


def test_a_machine_without_memory_is_not_a_program_without() -> None:
    """A payload that the kernel ended within its own limit has the code of the machine, and one beyond it its own."""
    killed = Ended(None, 9, 0.0, None)
    within = judge(killed, beyond(Exceeded("machine", "no memory"), 0.0), Usage(), watchdog.Limits())
    assert (within.outcome, within.code) == (Outcome.NODE_FAULT, AttemptCode.MACHINE_MEMORY)
    own = judge(killed, beyond(Exceeded("memory", "too much"), 0.0), Usage(), watchdog.Limits())
    assert (own.outcome, own.code, own.limit) == (Outcome.LIMIT_EXCEEDED, "", "memory")


def test_an_image_that_is_none_is_named() -> None:
    """A payload whose container's image cannot be used ends with the code of images."""
    report = judge(
        Ended(None, None, 0.0, None, outcome=Outcome.INPUT_ERROR, message="no image"), None, Usage(), watchdog.Limits()
    )
    assert report.code == AttemptCode.IMAGE
    assert NoContainer("not here", Outcome.NODE_FAULT).code == ""


# -- where people meet it


def test_people_meet_the_code_where_they_look() -> None:
    """`job`, `pilot` and `explain` show the code of an end, what it means, what to do and who can."""
    view = JobView(7, "", JobState.FAILED, "physics", "users", "ada", 5, 1, 0.0, 1.0, Outcome.LIMIT_EXCEEDED)
    attempt = AttemptView(7, 1, "a" * 32, "here", Phase.ENDED, 1, 0.0, 1.0, Outcome.LIMIT_EXCEEDED, code="limit.memory")
    detail = JobDetail(view, ("true",), Needs(), 0, 0, 0)
    gone = PilotView("a" * 32, PilotState.FAILED, "here", "local", ("physics",), 0.0, code="contact.gone")
    explained = JobExplanation(7, JobState.FAILED, "It is over.", code="limit.memory")
    shown = [
        run(FakeClient(job=detail, attempts=(attempt,)), "job", "7").stdout,
        run(FakeClient(explain_job=explained), "explain", "7").stdout,
    ]
    for text in shown:
        assert CATALOGUE["limit.memory"].todo + " (owner)" in text
    text = run(FakeClient(pilot=PilotDetail(gone)), "pilot", "a" * 32).stdout
    assert f"contact.gone: {CATALOGUE['contact.gone'].means}" in text
    assert "(operator)" in text
