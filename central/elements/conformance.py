"""The contract of every outer computing element, as tests: whoever writes an adapter runs them against the real thing.

    from central.elements.conformance import ComputingElementContract, Scene, asking

    class TestMine(ComputingElementContract):
        @pytest.fixture(scope="class")
        @classmethod
        def scene(cls) -> Iterator[Scene]:
            yield Scene(fresh=lambda: Mine(...), refused=asking(Request(cores=100_000)), patience=60)

Needs pytest. What the tests submit are shell scripts, which do what a pilot's wrapper does as far as a computing
element sees it. All that lives long is submitted at once, and likewise all that ends: some take a minute for each.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from central.elements.places import OUTPUT_BOUND
from central.elements.port import ComputingElement, ComputingError, Listed, Request, Standing, Submission
from central.elements.trial import ENVIRONMENT, Trial, Trick

#: In the environment of the process that submits, and of no pilot.
OF_THE_CENTRAL = "OF_THE_CENTRAL_ALONE"


#: Turns a submission into one that is not taken for as long as the context lasts.
Refused = Callable[[Submission], AbstractContextManager[Submission]]


@dataclass(frozen=True)
class Scene:
    """A computing element to be tried.

    `fresh` makes an adapter to one and the same computing element that knows nothing of what went before; its pilots
    have `environment`. `asking` makes a `refused` of a request that cannot be granted.
    """

    fresh: Callable[[], ComputingElement]
    refused: Refused
    request: Request = field(default_factory=Request)
    patience: float = 10.0  # seconds in which a submission starts, in which one ends, and in which that is listed
    pause: float = 0.05  # seconds between two looks
    unknown: str = "99999999"  # a reference of the right form that nothing has
    environment: Mapping[str, str] = field(default_factory=lambda: ENVIRONMENT)


def asking(request: Request) -> Refused:
    """A submission is refused for what it asks for."""

    @contextmanager
    def refused(submission: Submission) -> Iterator[Submission]:
        yield replace(submission, request=request)

    return refused


@dataclass(frozen=True)
class Seen:
    """A submission that ended, as its computing element told it."""

    submission: Submission
    entry: Listed
    output: bytes

    @property
    def lines(self) -> list[str]:
        return self.output.decode().splitlines()


class ComputingElementContract:
    """What a director relies on. A subclass provides the fixture `scene`, of scope "class"."""

    @pytest.fixture(scope="class")
    @classmethod
    def trial(cls, scene: Scene) -> Iterator[Trial]:
        """An adapter, asked as in a story; whatever was submitted is gone afterwards."""
        with Trial(scene.fresh, scene.request, scene.patience, scene.pause) as trial:
            trial.nothing_yet = trial.listing()
            yield trial

    @pytest.fixture(scope="class")
    @classmethod
    def living(cls, trial: Trial) -> Sequence[Submission]:
        """Four that sleep. All are listed, and at least one runs."""
        submissions = [trial.submission(Trick.SLEEP) for _ in range(4)]
        trial.submit(submissions)
        trial.until(
            "all are listed and one runs",
            lambda listed: (
                all(item.stamp in listed for item in submissions)
                and any(listed[item.stamp].standing is Standing.RUNNING for item in submissions)
            ),
        )
        return submissions

    @pytest.fixture(scope="class")
    @classmethod
    def ended(cls, trial: Trial) -> Mapping[Trick, Seen]:
        """One of each trick that comes to its end by itself, with what its computing element told of it."""
        tricks = {trick: trial.submission(trick) for trick in Trick if trick is not Trick.SLEEP}
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv(OF_THE_CENTRAL, "1")
            references = trial.submit(list(tricks.values()))
        listed = trial.until(
            "all have ended",
            lambda listed: all(
                item.stamp in listed and listed[item.stamp].standing is Standing.ENDED for item in tricks.values()
            ),
        )
        return {
            trick: Seen(item, listed[item.stamp], trial.output(item.stamp, references[item.stamp]))
            for trick, item in tricks.items()
        }

    def test_of_nothing(self, trial: Trial) -> None:
        """Where nothing was submitted, nothing is listed; submitting and cancelling nothing is no error."""
        assert list(trial.nothing_yet) == [], f"listed before anything was submitted: {trial.nothing_yet}"
        assert trial.call(trial.element.submit([])) == {}
        assert trial.call(trial.element.cancel([])) == {}

    def test_what_it_says_of_itself(self, trial: Trial) -> None:
        """The list lags by a number of seconds, and what would still be taken is a number or not known."""
        assert trial.element.lag >= 0, f"expected seconds, got {trial.element.lag}"
        capacity = trial.call(trial.element.capacity())
        assert capacity is None or capacity >= 0, f"expected a number, or None, got {capacity}"

    def test_each_has_a_reference_and_is_listed_by_its_stamp(self, trial: Trial, living: Sequence[Submission]) -> None:
        """Several submissions have distinct references, and the list has each of them under its stamp."""
        references = [trial.references[item.stamp] for item in living]
        assert all(references), f"expected a reference for each, got {references}"
        assert len(set(references)) == len(living), f"expected distinct references, got {references}"
        listed = trial.listing()
        stamps = [entry.stamp for entry in listed]
        assert len(set(stamps)) == len(stamps), f"expected each stamp once, got {listed}"
        assert {item.stamp for item in living} <= set(stamps), f"some are missing in {listed}"

    def test_what_was_taken_is_found_when_the_answer_was_lost(
        self, scene: Scene, trial: Trial, living: Sequence[Submission]
    ) -> None:
        """An adapter that knows nothing, as after a crash, finds what lives, under the references that were given."""
        with trial.other(scene.fresh) as other:
            found = {entry.stamp: entry for entry in trial.call(other.listing())}
        for item in living[:3]:
            assert item.stamp in found, f"{item.stamp} is missing in {found}"
            assert found[item.stamp].reference == trial.references[item.stamp]
            assert found[item.stamp].standing in (Standing.QUEUED, Standing.RUNNING), f"got {found[item.stamp]}"

    def test_cancel_twice_and_of_the_unknown(self, scene: Scene, trial: Trial, living: Sequence[Submission]) -> None:
        """Cancelling ends one submission and no other, also by an adapter that knows nothing; again, or of something
        unknown, it is no error, and keeps nothing else from being cancelled."""
        first, second = (trial.references[item.stamp] for item in living[2:])
        with trial.other(scene.fresh) as other:
            assert trial.call(other.cancel([first])) == {}
        trial.until("it is over", lambda listed: trial.over(listed.get(living[2].stamp)))
        assert trial.call(trial.element.cancel([first, scene.unknown, second])) == {}
        listed = trial.until("both are over", lambda listed: trial.over(listed.get(living[3].stamp)))
        for item in living[:2]:
            assert not trial.over(listed.get(item.stamp)), f"it was ended as well: {listed}"

    def test_the_end_is_seen(self, ended: Mapping[Trick, Seen]) -> None:
        """A submission that ended is listed as ended, with its exit code, and what it printed can be had."""
        seen = ended[Trick.FAIL]
        assert seen.entry.exit_code == 7, f"expected exit code 7, got {seen.entry}"
        assert ended[Trick.PROBE].entry.exit_code == 0, f"expected exit code 0, got {ended[Trick.PROBE].entry}"
        assert "last words" in seen.lines, f"expected its standard output, got {seen.output!r}"
        assert "a complaint" in seen.lines, f"expected its standard error as well, got {seen.output!r}"

    def test_the_output_is_bounded(self, ended: Mapping[Trick, Seen]) -> None:
        """Of much output the end is handed out."""
        output = ended[Trick.TALK].output
        assert len(output) <= OUTPUT_BOUND, f"expected at most {OUTPUT_BOUND} bytes, got {len(output)}"
        assert output.endswith(b"the end\n"), f"expected the end of it, got {output[-100:]!r}"

    def test_the_secret_is_private(self, ended: Mapping[Trick, Seen]) -> None:
        """The secret is in a file for its owner alone, where the adapter says, and in nothing else that is told."""
        seen = ended[Trick.PROBE]
        digest = hashlib.sha256(seen.submission.secret.encode()).hexdigest()
        assert f"secret: {digest}" in seen.lines, f"the job has not found its secret: {seen.output!r}"
        assert "mode: -rw-------" in seen.lines, f"expected a file for its owner alone: {seen.output!r}"
        told = [line for line in seen.lines if line.startswith("told: ")]
        assert not told, f"the secret was in {told}"

    def test_no_process_here_was_given_a_secret(self, trial: Trial, living: Sequence[Submission]) -> None:
        """No process of this host has a secret of those that live in its arguments or its environment."""
        secrets = [item.secret.encode() for item in living]
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue  # it ended, or is not ours to look at
            wrong = int(entry.name) != os.getpid() and any(secret in told for secret in secrets)
            assert not wrong, f"process {entry.name} was told a secret"

    def test_pilots_have_the_environment_of_the_queue(self, scene: Scene, ended: Mapping[Trick, Seen]) -> None:
        """What the queue sets is in a pilot's environment, whatever is in it; what the central has is not."""
        lines = ended[Trick.PROBE].lines
        for name, value in scene.environment.items():
            assert f"environment: {name}={value}" in lines, f"expected {name}={value} in {lines}"
        assert not any(line.startswith(f"environment: {OF_THE_CENTRAL}") for line in lines), "the central's leaks"

    def test_what_was_forgotten(self, scene: Scene, trial: Trial, ended: Mapping[Trick, Seen]) -> None:
        """An ended submission that was forgotten is not listed any more, by no adapter; the others still are."""
        gone = ended[Trick.BE_FORGOTTEN].submission.stamp
        trial.call(trial.element.forget(gone, trial.references[gone]))
        with trial.other(scene.fresh) as other:
            for listed in (trial.listing(), trial.call(other.listing())):
                stamps = {entry.stamp for entry in listed}
                assert gone not in stamps, f"it is still listed: {listed}"
                assert ended[Trick.FAIL].submission.stamp in stamps, f"another is missing: {listed}"

    def test_what_nobody_knows(self, scene: Scene, trial: Trial) -> None:
        """Output of what is unknown is empty or refused, and forgetting it is done or refused; nothing else happens."""
        stamp = trial.submission(Trick.FAIL).stamp
        for reference in ("", scene.unknown):
            with suppress(ComputingError):
                assert trial.call(trial.element.output(stamp, reference)) == b"", "expected nothing"
            with suppress(ComputingError):
                trial.call(trial.element.forget(stamp, reference))

    def test_failures_are_per_item(self, scene: Scene, trial: Trial) -> None:
        """One submission that is not taken keeps no other from being taken, and says why. When nothing is in its way
        any more, the same stamp can be submitted, with another secret."""
        bad, good = trial.submission(Trick.FAIL), trial.submission(Trick.FAIL)
        with scene.refused(bad) as spoilt:
            results = trial.call(trial.element.submit([spoilt, good]))
            trial.note(results)
            assert isinstance(results[bad.stamp], ComputingError), f"expected an error, got {results[bad.stamp]!r}"
            assert str(results[bad.stamp]), "expected a sentence that says why"
            assert isinstance(results[good.stamp], str), f"expected a reference, got {results[good.stamp]!r}"
        trial.submit([replace(bad, secret=trial.submission(Trick.FAIL).secret)])
        trial.until(
            "both have ended",
            lambda listed: all(
                item.stamp in listed and listed[item.stamp].standing is Standing.ENDED for item in (bad, good)
            ),
        )
