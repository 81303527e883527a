"""Records to JSON and back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot import codec, messages
from pilot.errors import InvalidInput
from pilot.protocol import (
    AttemptReport,
    Credential,
    Fact,
    HeartbeatReply,
    JobSpec,
    Lease,
    MatchReply,
    MatchRequest,
    Offer,
    Platform,
)
from pilot.states import Phase
from tests.unit.records import LINK, WIRE, of


@given(record=st.sampled_from(WIRE).flatmap(of))
def test_round_trip(record: Any) -> None:
    """Every record of the wire comes back from its JSON as it was."""
    assert codec.loads(type(record), codec.dumps(record)) == record


@given(message=st.sampled_from(LINK).flatmap(of))
def test_link_round_trip(message: Any) -> None:
    """Every message of the link comes back from its line, which is one line."""
    line = messages.pack(message)
    assert line.count(b"\n") == 1
    assert messages.unpack(line[:-1]) == message


def test_unknown_fields_are_ignored() -> None:
    """A newer central may say more than is known here."""
    text = b'{"sequence": 4, "weather": "fine", "orders": [{"id": 1, "verb": "drain", "colour": "red"}]}'
    reply = codec.loads(HeartbeatReply, text)
    assert reply.sequence == 4
    assert reply.orders[0].id == 1


def test_absent_is_left_out() -> None:
    """What is unknown is absent, not null; what has no default is said even when it is null."""
    assert codec.encode(Platform(arch="x86_64")) == {"arch": "x86_64"}
    assert codec.encode(Fact("load", None, "nowhere")) == {"name": "load", "value": None, "source": "nowhere"}


def test_other_bytes_of_file_names() -> None:
    """A file name that is not UTF-8 crosses the link as it is, and the wire without doing harm."""
    name = b"r\xe4tsel".decode("utf-8", "surrogateescape")
    message = messages.Report(1, 2, 3, AttemptReport(Phase.ENDED, undelivered=(name,)))
    assert messages.unpack(messages.pack(message)[:-1]) == message
    assert codec.loads(AttemptReport, codec.dumps(message.report)).undelivered == ("r?tsel",)


@pytest.mark.parametrize(
    ("text", "where", "problem"),
    [
        (b"[]", "", "expected MatchReply (a mapping)"),
        (b"{}", "number", "needs this field"),
        (b'{"number": true}', "number", "expected a whole number, got True"),
        (b'{"number": 1.5}', "number", "expected a whole number"),
        (b'{"number": 1, "reason": "bored"}', "reason", "expected nothing-waits or"),
        (b'{"number": 1, "leases": {}}', "leases", "expected a list"),
        (b'{"number": 1, "leases": [{"job": "1"}]}', "leases[0].job", "expected a whole number, got '1'"),
        (b'{"number": 1, "retry_after": NaN}', "", "NaN is not JSON"),
        (b'{"number": 1', "", "expected JSON"),
        (b"\xff", "", "expected JSON"),
        (b"[" * 100_000, "", "expected JSON"),
    ],
)
def test_what_does_not_fit_is_named(text: bytes, where: str, problem: str) -> None:
    """A message that does not fit is refused with the path to the spot."""
    with pytest.raises(InvalidInput) as error:
        codec.loads(MatchReply, text)
    assert error.value.where == where
    assert problem in error.value.problem


def test_amounts() -> None:
    """An amount is a number, the word unlimited, or absent; nothing else."""
    for amount in (0, 10**12, "unlimited", None):
        offer = Offer("site", "queue", memory=amount)  # type: ignore[arg-type]
        request = MatchRequest(1, offer)
        assert codec.loads(MatchRequest, codec.dumps(request)) == request
    with pytest.raises(InvalidInput, match=r"offer\.memory: expected a whole number or expected unlimited, got 'much'"):
        codec.loads(MatchRequest, b'{"number": 1, "offer": {"site": "s", "queue": "q", "memory": "much"}}')


def test_a_lease_whole() -> None:
    """Nested records, tuples of two and mappings arrive with their types."""
    spec = JobSpec(("true",), environment={"A": "b"})
    lease = Lease(1, 2, 600, spec, "token", 4, credentials=(Credential("key", values={"text": "value"}),))
    read = codec.loads(Lease, codec.dumps(lease))
    assert read == lease
    assert isinstance(read.spec.command, tuple)
    assert codec.loads(Platform, b'{"glibc": [2, 28]}').glibc == (2, 28)
    with pytest.raises(InvalidInput, match="expected a list of 2"):
        codec.loads(Platform, b'{"glibc": [2]}')
