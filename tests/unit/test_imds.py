"""Payloads and the metadata service of a cloud: the rules that cut them off, and what is made of a trial."""

from __future__ import annotations

import fcntl
import json
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from pilot.destination import _METADATA
from pilot.errors import InvalidInput
from pilot.imds import ahead, cut, guard, trial
from pilot.imds.guard import Guard, Run, Tried, parse
from pilot.payloads.slot_users import SlotUser, SlotUsers


@pytest.mark.parametrize(
    ("uids", "spans"),
    [([], []), ([7], [(7, 7)]), ([3, 1, 2, 2], [(1, 3)]), ([1, 2, 5, 9, 8], [(1, 2), (5, 5), (8, 9)])],
)
def test_users_as_ranges(uids: list[int], spans: list[tuple[int, int]]) -> None:
    """Neighbours are one range, in order, each user once."""
    assert cut.spans(uids) == spans


def test_the_rules() -> None:
    """Each address of the family is forbidden to all of them, but for names, which are let through first."""
    lines = cut.rules(range(20_000, 20_064), six=False).splitlines()
    assert lines[:2] == [
        "rule add priority 60 uidrange 20000-20063 to 169.254.169.254 protocol kernel dport 53 lookup main",
        "rule add priority 61 uidrange 20000-20063 to 169.254.169.254 protocol kernel prohibit",
    ]
    forbidden = [
        line.split()[7] for six in (False, True) for line in cut.rules([1], six).splitlines() if "prohibit" in line
    ]
    assert forbidden == list(cut.ADDRESSES)
    assert all(("::" in line) for line in cut.rules([1], six=True).splitlines())


def test_no_address_is_forgotten() -> None:
    """What is refused as a storage, since clouds tell secrets there, is forbidden to payloads and tried as one."""
    for address in map(str, _METADATA):
        assert address in cut.ADDRESSES
        assert address in trial.GIVEN
    assert {address for address in cut.ADDRESSES if not address.startswith("fe80")} <= set(trial.GIVEN)


class Ip:
    """`ip` as a test has it: what it complains of for each family."""

    def __init__(self, *said: str) -> None:
        self.said = list(said)
        self.words: list[Sequence[str]] = []

    def __call__(self, words: Sequence[str], given: str) -> str:
        self.words.append(words)
        assert given
        return self.said.pop(0)


@pytest.mark.parametrize(
    ("four", "six", "problem"),
    [
        ("", "", ""),
        ("RTNETLINK answers: File exists\nCommand failed -:1\n", "", ""),
        ("", "RTNETLINK answers: Address family not supported by protocol\nCommand failed -:1\n", ""),
        (
            "RTNETLINK answers: Operation not permitted\nCommand failed -:1\n",
            "",
            "ip: RTNETLINK answers: Operation not",
        ),
        ("", 'Error: argument "uidrange" is wrong\n', "may not be cut off"),
    ],
)
def test_what_speaks_against_the_cut(four: str, six: str, problem: str) -> None:
    """Rules that are there already are none, nor is a machine without IPv6; anything else is told."""
    ip = Ip(four, six)
    said = cut.cut_off([20_000], ip)
    assert problem in said
    assert bool(said) is bool(problem)
    assert [words[1] for words in ip.words] == ["-4", "-6"]


def test_where_there_is_no_program_for_it() -> None:
    """It is said, and nothing is raised."""

    def none(words: Sequence[str], given: str) -> str:
        raise FileNotFoundError("there is no program ip")

    assert cut.cut_off([1], none) == (
        "payloads cannot be cut off from the metadata service: ip: there is no program ip"
    )


def printed(*answered: str) -> bytes:
    return json.dumps({"answered": answered, "tried": 6}).encode()


@pytest.mark.parametrize(
    ("said", "exposed", "why"),
    [
        (printed(), False, "tried as me at 6 addresses"),
        (printed("one way"), True, "me reaches the metadata service by one way"),
        (printed("one way", "another", "a third"), True, "by one way, and in 2 other ways"),
        (b"", None, "said nothing that can be read"),
        (b'{"answered": 3}', None, "said nothing that can be read"),
        (b"[" * 100_000, None, "said nothing that can be read"),
    ],
)
def test_what_a_trial_means(said: bytes, exposed: bool | None, why: str) -> None:
    """An answer exposes, none at all proves, and a trial that says nothing proves nothing."""
    found = parse(said, "me")
    assert found.exposed is exposed
    assert why in found.why
    assert [(fact.name, fact.value) for fact in found.facts()] == [
        ("imds_exposed", exposed),
        ("tag:imds_exposed", exposed),
    ]


def users(*free: int) -> SlotUsers:
    made = [SlotUser(str(uid), uid, uid) for uid in free]
    return SlotUsers(made, lambda uid: False, lambda uid: True, lambda uid: None)


def test_it_is_tried_as_a_payload_s_user_who_is_given_back() -> None:
    """One of them for the time of the trial; where none is free nothing is proved."""
    asked: list[int | None] = []

    def run(user: SlotUser | None, program: str) -> bytes:
        asked.append(user.uid if user else None)
        assert "169.254.169.254" in program
        return printed()

    some = users(20_000, 20_001)
    assert Guard(some, "", run).facts()[0].value is False
    assert (asked, [user.uid for user in some.free]) == ([20_000], [20_001, 20_000])
    assert Guard(users(), "", run).facts()[0].value is None
    assert Guard(None, cut.SAME_USER, run).facts()[0].value is False
    assert asked == [20_000, None]


def test_what_was_wrong_with_the_cut_is_said_where_it_matters() -> None:
    """Beside what was answered, or could not be tried; where nothing answers it does not matter."""

    def fails(user: SlotUser | None, program: str) -> bytes:
        raise OSError("no more processes")

    assert Guard(None, "no ip", lambda user, program: printed("x")).tried().why.endswith("by x; no ip")
    assert Guard(None, "no ip", lambda user, program: printed()).tried().why.startswith("tried as the pilot's user")
    assert (
        Guard(users(1), "no ip", fails).facts()[0]
        == Tried(
            None, "whether the user 1 reaches the metadata service could not be tried: no more processes; no ip"
        ).facts()[0]
    )


def test_it_is_tried_in_a_container_too_where_payloads_may_have_one() -> None:
    """Both have to find nothing, and both are made as the same user, who is given back when both are over."""
    asked: list[tuple[str, int]] = []

    def said(where: str, *answered: str) -> Run:
        def run(user: SlotUser | None, program: str) -> bytes:
            assert user is not None
            asked.append((where, user.uid))
            return printed(*answered)

        return run

    some = users(1)
    both = Guard(some, "", said("outside"), lambda: said("inside")).facts()[0]
    assert (both.value, both.source.endswith("; and in a container")) == (False, True)
    assert (sorted(asked), len(some.free)) == ([("inside", 1), ("outside", 1)], 1)
    open_inside = Guard(users(1), "", said("outside"), lambda: said("inside", "a way")).facts()[0]
    assert (open_inside.value, open_inside.source) == (
        True,
        "the user 1 in a container reaches the metadata service by a way",
    )
    assert Guard(users(1), "", said("outside", "a way"), lambda: said("inside")).facts()[0].value is True


CLOSED, OPEN, UNKNOWN = Tried(False, "closed"), Tried(True, "open"), Tried(None, "unknown")


@pytest.mark.parametrize(
    ("outside", "within", "counts"),
    [
        (CLOSED, None, CLOSED),
        (OPEN, None, OPEN),
        (OPEN, CLOSED, OPEN),
        (CLOSED, OPEN, OPEN),
        (UNKNOWN, OPEN, OPEN),
        (UNKNOWN, CLOSED, UNKNOWN),
        (CLOSED, UNKNOWN, UNKNOWN),
        (CLOSED, CLOSED, Tried(False, "closed; and in a container")),
    ],
)
def test_the_worse_of_two_trials_counts(outside: Tried, within: Tried | None, counts: Tried) -> None:
    """A way that is open counts most, and what could not be tried proves nothing."""
    assert guard.worse(outside, within) == counts


def test_agents_wait_for_the_trial_that_their_monitor_has_begun(tmp_path: Path) -> None:
    """Until it is over its file is locked; then whoever asks reads what came of it, as often as they like."""
    over = threading.Event()

    def make() -> Tried:
        assert over.wait(30)
        return CLOSED

    (tmp_path / ahead.NAME).write_text('{"exposed": true, "why": "of an earlier monitor"}')
    ahead.begin(tmp_path, make)
    with (tmp_path / ahead.NAME).open("rb") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    over.set()
    assert [ahead.awaited(tmp_path), ahead.awaited(tmp_path)] == [CLOSED, CLOSED]


def test_what_does_not_come_to_an_end_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent whose monitor hangs in the trial goes on after a while, and tries it itself."""
    monkeypatch.setattr(ahead, "PATIENCE", 0.1)
    go = threading.Event()

    def make() -> Tried:
        go.wait(20)
        return CLOSED

    ahead.begin(tmp_path, make)
    try:
        assert ahead.awaited(tmp_path) is None
    finally:
        go.set()


def test_what_could_not_be_tried_ahead_is_for_the_agents_to_try(tmp_path: Path) -> None:
    """As where no monitor has begun it, where it failed, and where it proved nothing."""

    def fails() -> Tried:
        raise InvalidInput("slot_users", "expected root")

    assert ahead.awaited(tmp_path) is None
    for make in (fails, lambda: UNKNOWN):
        ahead.begin(tmp_path, make)
        assert ahead.awaited(tmp_path) is None


def test_what_was_tried_ahead_is_not_tried_again() -> None:
    """But within a container it is, and a user who was in use for it until then serves for that."""
    taken = {7}

    def begun() -> Tried:
        taken.clear()
        return CLOSED

    def again(user: SlotUser | None, program: str) -> bytes:
        raise AssertionError("it was tried already")

    some = SlotUsers([SlotUser("7", 7, 7)], lambda uid: False, lambda uid: uid not in taken, lambda uid: None)
    inside: Run = lambda user, program: printed()
    assert Guard(some, "", again, lambda: inside, begun).tried() == Tried(False, "closed; and in a container")
    assert Guard(None, cut.SAME_USER, again, ahead=lambda: OPEN).tried() == Tried(True, f"open; {cut.SAME_USER}")


def test_the_trial_needs_nothing_of_ours() -> None:
    """Its text runs in an interpreter that knows none of our modules."""
    assert "import pilot" not in guard.text()
    assert "from pilot" not in guard.text()
    compile(guard.text(), "trial", "exec")
