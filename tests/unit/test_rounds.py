"""Delivery in rounds: the first destination that takes an output, patience, what is passed over, and what is told."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from pilot.attempts import delivery, outputs, rounds
from pilot.attempts.carrier import Carrier
from pilot.attempts.delivery import Delivery
from pilot.attempts.parcels import Parcel
from pilot.destinations.port import Rejected, Unavailable
from pilot.errors import Refusal, TransportError
from pilot.protocol import AttemptReport, OutputFile, OutputRule
from pilot.states import Outcome, Phase
from tests.pilot_fakes import FakeCentral, shell

A = hashlib.sha256(b"a").hexdigest()
DONE = AttemptReport(Phase.ENDED, Outcome.SUCCESS, exit_code=0)
Answer = Callable[[str, int], "Exception | None"]  # output, try → what happens


class Scripted(Carrier):
    """Storages that answer as the test says, by destination."""

    answers: ClassVar[dict[str, Answer]] = {}
    tried: ClassVar[list[tuple[str, str]]] = []

    def deliver(self, parcel: Parcel, destination: str, pause: Callable[[float], bool]) -> OutputFile:
        if destination not in self.answers:
            return super().deliver(parcel, destination, pause)
        name = parcel.output.name
        count = self.tried.count((name, destination))
        self.tried.append((name, destination))
        problem = self.answers[destination](name, count)
        if problem is not None:
            raise problem
        return OutputFile(name, 1, "", (destination,))


class Scene:
    """An attempt whose outputs are `names`, and time that passes while it pauses."""

    def __init__(self, folder: Path, to: tuple[str, ...], names: tuple[str, ...] = ("a",)) -> None:
        self.folder = folder
        self.central = FakeCentral()
        lease = shell(1, "true")
        rule = OutputRule("*", to)
        lease = type(lease)(**{**vars(lease), "spec": type(lease.spec)(**{**vars(lease.spec), "outputs": (rule,)})})
        for name in names:
            (folder / name).write_text(name)
        self.carrier = Scripted(lease, folder, self.central, lambda: 0.0)
        Scripted.answers, Scripted.tried = {}, []
        self.now = 0.0
        self.until = float("inf")
        self.told: list[str] = []
        self._lock = threading.Lock()

    def pause(self, seconds: float) -> bool:
        with self._lock:
            self.now += seconds
        return self.now >= self.until

    def deliver(self) -> AttemptReport:
        return Delivery(self.carrier, lambda: self.now, self.told.append).add_to(DONE, self.pause)

    def tried(self, destination: str) -> int:
        return sum(1 for _, where in Scripted.tried if where == destination)


def always(problem: Exception) -> Answer:
    return lambda name, count: problem


def until(times: int, problem: Exception) -> Answer:
    return lambda name, count: problem if count < times else None


def test_the_first_that_takes_it(tmp_path: Path) -> None:
    """Destinations are tried in the order in which they are listed, and what is not needed is not tried."""
    scene = Scene(tmp_path, ("https://a/", "https://b/", "https://c/"))
    Scripted.answers = {
        "https://a/": always(Rejected("403 from a")),
        "https://b/": until(0, Rejected("")),
        "https://c/": always(Rejected("never asked")),
    }
    report = scene.deliver()
    assert (report.outcome, report.outputs[0].where) == (Outcome.SUCCESS, ("https://b/",))
    assert report.message == "another destination was taken: a is at https://b/ (403 from a)"
    assert scene.tried("https://c/") == 0


def test_trouble_is_tried_again(tmp_path: Path) -> None:
    """A storage gets another chance where that may help, with longer and longer pauses."""
    scene = Scene(tmp_path, ("https://a/",))
    Scripted.answers = {"https://a/": until(rounds.TRIES - 1, TransportError("reset"))}
    report = scene.deliver()
    assert report == AttemptReport(Phase.ENDED, Outcome.SUCCESS, exit_code=0, outputs=report.outputs)
    assert 1 < scene.now < 10


def test_a_storage_does_not_say_for_how_long_we_sleep(tmp_path: Path) -> None:
    """A wait that a storage asks for is kept up to the longest that there is between two rounds."""
    scene = Scene(tmp_path, ("https://a/",))
    Scripted.answers = {"https://a/": until(1, Unavailable("503", 99999.0))}
    assert scene.deliver().outcome is Outcome.SUCCESS
    assert 0 < scene.now <= rounds.LONGEST


def test_nobody_takes_it(tmp_path: Path) -> None:
    """What every destination has refused is kept in the sandbox store: still an error, with each reason, once, by the
    place itself."""
    scene = Scene(tmp_path, ("https://a/{job}/", "https://b/"))
    Scripted.answers = {
        "https://a/{job}/": always(Rejected("403 from https://a/1/a")),
        "https://b/": always(Rejected("no")),
    }
    report = scene.deliver()
    assert (report.outcome, report.undelivered) == (Outcome.OUTPUT_ERROR, ())
    assert report.message == (
        "not delivered: a (403 from https://a/1/a; https://b/a: no);"
        " what no destination took is in the sandbox store: `pilotage output 1` fetches it"
    )
    assert report.outputs == (OutputFile("a", 1, A, ("sandbox",)),)


def test_nobody_takes_it_at_all(tmp_path: Path) -> None:
    """What the sandbox store refuses as well is lost, and told as that."""
    scene = Scene(tmp_path, ("https://a/",))
    Scripted.answers = {"https://a/": always(Rejected("403"))}
    scene.central.problems = [Refusal("too-large", "it is larger than 1 GB")]
    report = scene.deliver()
    assert (report.outcome, report.outputs, report.undelivered) == (Outcome.OUTPUT_ERROR, (), ("a",))
    assert report.message == "not delivered: a (https://a/a: 403; sandbox: it is larger than 1 GB)"


def test_a_name_that_must_be_there(tmp_path: Path) -> None:
    """A job that succeeded without an output that it names has not; one that failed has failed."""
    scene = Scene(tmp_path, (), ("a",))
    spec = replace(scene.carrier.lease.spec, outputs=(OutputRule("*"), OutputRule("gone"), OutputRule("g*")))
    scene.carrier = replace(scene.carrier, lease=replace(scene.carrier.lease, spec=spec))
    report = scene.deliver()
    assert report.outcome is Outcome.OUTPUT_ERROR
    assert report.message == "the output gone is not there: where it need not be, write {path: gone, optional: true}"
    failed = replace(DONE, outcome=Outcome.PAYLOAD_ERROR, message="exit code 1")
    report = Delivery(scene.carrier).add_to(failed, scene.pause)
    assert (report.outcome, len(report.outputs)) == (Outcome.PAYLOAD_ERROR, 1)
    assert report.message == "exit code 1; the output gone is not there"


def test_more_outputs_than_an_attempt_may_bring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first ones come home, in order, and the report says which were left."""
    monkeypatch.setattr(outputs, "MAX_OUTPUTS", 2)
    report = Scene(tmp_path, (), ("a", "b", "c", "d")).deliver()
    assert [output.name for output in report.outputs] == ["a", "b"]
    assert (report.outcome, report.undelivered) == (Outcome.OUTPUT_ERROR, ("c", "d"))
    assert report.message == "not delivered: c, d (the first 2 were: pack them)"


def test_what_is_tried_again_is_told(tmp_path: Path) -> None:
    """Whoever looks sees where an output is to go, why it is not there, and when it is tried again."""
    scene = Scene(tmp_path, ("https://a/{job}/",))
    Scripted.answers = {"https://a/{job}/": until(5, TransportError("connection refused"))}
    scene.deliver()
    assert scene.told[0] == "to https://a/1/a: connection refused; tried once, next in 1 s"
    assert scene.told[3] == "to https://a/1/a: connection refused; tried 4 times, next in 1 s"
    assert scene.told[-1] == ""


def test_it_waits_for_a_storage_to_come_back(tmp_path: Path) -> None:
    """What nobody takes now stays on the node, and is brought when a storage is there again."""
    scene = Scene(tmp_path, ("https://a/", "https://b/"))
    Scripted.answers = {
        "https://a/": until(50, TransportError("away")),
        "https://b/": always(Rejected("403")),
    }
    report = scene.deliver()
    assert report.outputs[0].where == ("https://a/",)
    assert scene.tried("https://b/") == 1
    assert scene.now > 120


def test_patience_has_an_end(tmp_path: Path) -> None:
    """After hours an attempt gives up a storage of somebody else's, with the reason that it met last."""
    scene = Scene(tmp_path, ("https://a/",))
    Scripted.answers = {"https://a/": always(Unavailable("507 full"))}
    report = scene.deliver()
    assert report.outcome is Outcome.OUTPUT_ERROR
    assert report.message.startswith("not delivered: a (507 full); what no destination took is in the sandbox store")
    assert rounds.PATIENCE <= scene.now < rounds.PATIENCE + 2 * rounds.LONGEST


def test_the_central_is_waited_for_until_the_end(tmp_path: Path) -> None:
    """Its own sandbox store is tried for as long as the attempt may last."""
    scene = Scene(tmp_path, ("sandbox",))
    scene.until = 3 * rounds.PATIENCE
    scene.central.problems = [TransportError("away")] * 9000
    report = scene.deliver()
    assert report.undelivered == ("a",)
    assert scene.now >= scene.until


def test_full_means_the_next_at_once(tmp_path: Path) -> None:
    """A storage that is full is not asked again for the other outputs of this round."""
    scene = Scene(tmp_path, ("https://a/", "https://b/"), tuple(f"{number:02}" for number in range(40)))
    Scripted.answers = {"https://a/": always(Unavailable("507 full")), "https://b/": until(0, Rejected(""))}
    report = scene.deliver()
    assert len(report.outputs) == 40
    assert scene.tried("https://a/") <= rounds.LANES
    assert scene.now == 0
    assert "and so 37 more" in report.message


def test_a_dead_storage_costs_a_few_outputs_their_time(tmp_path: Path) -> None:
    """One that does not answer is found out by a few, and the others do not wait for it."""
    scene = Scene(tmp_path, ("https://a/", "https://b/"), tuple(f"{number:02}" for number in range(40)))
    Scripted.answers = {"https://a/": always(TransportError("reset")), "https://b/": until(0, Rejected(""))}
    assert len(scene.deliver().outputs) == 40
    assert scene.tried("https://a/") <= rounds.LANES * rounds.TRIES * rounds.STRIKES


def test_one_bad_output_is_one_bad_output(tmp_path: Path) -> None:
    """A file that a storage chokes on does not make the storage bad for the others."""
    scene = Scene(tmp_path, ("https://a/",), ("a", "b", "c"))
    scene.until = 1000.0
    Scripted.answers = {"https://a/": lambda name, count: TransportError("500") if name == "a" else None}
    report = scene.deliver()
    assert [output.name for output in report.outputs] == ["b", "c"]
    assert report.undelivered == ("a",)


def test_two_outputs_with_one_target(tmp_path: Path) -> None:
    """What would overwrite another output of the same job is not brought there."""
    scene = Scene(tmp_path, ("https://a/one",), ("a", "b"))
    Scripted.answers = {"https://a/one": until(0, Rejected(""))}
    report = scene.deliver()
    assert [(output.name, output.where) for output in report.outputs] == [
        ("a", ("https://a/one",)),
        ("b", ("sandbox",)),
    ]
    assert report.outcome is Outcome.OUTPUT_ERROR
    assert "another output goes to https://a/one" in report.message


def test_the_end_of_the_pilot_is_told(tmp_path: Path) -> None:
    """An attempt that must end names what is not home, and why."""
    scene = Scene(tmp_path, ("https://a/",), ("a", "b"))
    scene.until = 5.0
    Scripted.answers = {"https://a/": always(TransportError("reset"))}
    report = scene.deliver()
    assert report.undelivered == ("a", "b")
    assert "reset" in report.message


def test_more_names_than_a_report_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs whose names and addresses would not fit into the report are not sent, and told of."""
    monkeypatch.setattr(delivery, "MAX_WORDS", 1000)
    scene = Scene(tmp_path, ("https://a/",), ("a", "b", "c", "d"))
    Scripted.answers = {"https://a/": until(0, Rejected(""))}
    report = scene.deliver()
    assert report.outcome is Outcome.OUTPUT_ERROR
    assert [output.name for output in report.outputs] == ["a", "b", "c"]
    assert report.undelivered == ("d",)
    assert scene.tried("https://a/") == 3


def test_the_sandbox_needs_no_url(tmp_path: Path) -> None:
    """Outputs without `to` go to the central, as ever."""
    scene = Scene(tmp_path, ())
    report = scene.deliver()
    assert report.outputs == (OutputFile("a", 1, A, ("sandbox",)),)


def test_a_fault_of_ours_is_not_swallowed(tmp_path: Path) -> None:
    """A fault in one of the threads is the attempt's."""
    scene = Scene(tmp_path, ("https://a/",), ("a", "b", "c", "d", "e"))
    Scripted.answers = {"https://a/": always(KeyError("a fault"))}
    with pytest.raises(KeyError):
        scene.deliver()
