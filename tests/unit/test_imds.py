"""Payloads and the metadata service of a cloud: the rules that cut them off, and what is made of a trial."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from pilot.destination import _METADATA
from pilot.imds import cut, guard, trial
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

    assert Guard(None, "no ip", lambda user, program: printed("x")).tried(None).why.endswith("by x; no ip")
    assert Guard(None, "no ip", lambda user, program: printed()).tried(None).why.startswith("tried as the pilot's user")
    assert (
        Guard(users(1), "no ip", fails).facts()[0]
        == Tried(
            None, "whether the user 1 reaches the metadata service could not be tried: no more processes; no ip"
        ).facts()[0]
    )


def test_it_is_tried_in_a_container_too_where_payloads_may_have_one() -> None:
    """Both have to find nothing; the container is not asked where a way is open without one."""
    asked: list[str] = []

    def said(where: str, *answered: str) -> Run:
        def run(user: SlotUser | None, program: str) -> bytes:
            asked.append(where)
            return printed(*answered)

        return run

    both = Guard(users(1), "", said("outside"), lambda: said("inside")).facts()[0]
    assert (both.value, both.source.endswith("; and in a container"), asked) == (False, True, ["outside", "inside"])
    open_inside = Guard(users(1), "", said("outside"), lambda: said("inside", "a way")).facts()[0]
    assert (open_inside.value, open_inside.source) == (
        True,
        "the user 1 in a container reaches the metadata service by a way",
    )
    del asked[:]
    assert Guard(users(1), "", said("outside", "a way"), lambda: said("inside")).facts()[0].value is True
    assert asked == ["outside"]


def test_the_trial_needs_nothing_of_ours() -> None:
    """Its text runs in an interpreter that knows none of our modules."""
    assert "import pilot" not in guard.text()
    assert "from pilot" not in guard.text()
    compile(guard.text(), "trial", "exec")
