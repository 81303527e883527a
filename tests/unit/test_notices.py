"""Notices: what clouds and sites say of a machine's end, and how the time that is left is used."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot.notices import azure, ec2, gce, mjf, places
from pilot.notices.lookout import MISSED, SLOWER, Lookout
from pilot.notices.notice import Notice, Reply, divide

NOW = 1_764_115_200.0  # 2025-11-26T00:00:00Z


class Service:
    """A metadata service that answers what a test says, and notes what it was asked."""

    def __init__(self, **answers: Reply | list[Reply] | OSError) -> None:
        self.answers: dict[str, Any] = answers
        self.asked: list[tuple[str, str, dict[str, str]]] = []

    def fetch(self, method: str, url: str, headers: dict[str, str]) -> Reply:
        self.asked.append((method, url, headers))
        answer = next(answer for word, answer in self.answers.items() if word in url)
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, OSError):
            raise answer
        assert isinstance(answer, Reply)
        return answer


def said(body: object, status: int = 200, date: float | None = None) -> Reply:
    return Reply(status, body if isinstance(body, bytes) else json.dumps(body).encode(), date)


# -- EC2


def test_ec2_gives_two_minutes() -> None:
    """An interruption says what will be done and when; the time left is by the service's clock, where it tells it."""
    action = {"action": "terminate", "time": "2025-11-26T00:02:00Z"}
    notice = ec2.parse(said(action), NOW)
    assert notice == Notice("EC2 will terminate this instance at 2025-11-26T00:02:00Z", 120.0)
    skewed = ec2.parse(said(action, date=NOW), NOW + 3600)
    assert skewed is not None
    assert skewed.left == 120.0


def test_ec2_has_nothing_to_say() -> None:
    """Until there is an interruption the service answers 404."""
    assert ec2.parse(Reply(404, b""), NOW) is None


@pytest.mark.parametrize("reply", [Reply(500, b""), said([]), said({"action": 1}), Reply(200, b"<html>")])
def test_ec2_says_something_else(reply: Reply) -> None:
    """What is no answer of the service is an error and no notice."""
    with pytest.raises(ValueError, match="status|xpect"):
        ec2.parse(reply, NOW)


def test_ec2_wants_a_token() -> None:
    """The session token is asked for once, kept, and asked for anew when it has aged out."""
    service = Service(token=Reply(200, b"abc="), action=[Reply(404, b""), Reply(401, b""), Reply(404, b"")])
    source = ec2.Ec2(service.fetch, "http://there")
    assert source.look(NOW) is None
    assert source.look(NOW) is None
    assert [method for method, _, _ in service.asked] == ["PUT", "GET", "GET", "PUT", "GET"]
    assert service.asked[1][2] == {"X-aws-ec2-metadata-token": "abc="}


# -- GCE


def test_gce_says_that_and_not_when() -> None:
    """A preempted machine has 30 s from when that was first seen."""
    source = gce.Gce(Service(preempted=[Reply(200, b"FALSE"), Reply(200, b"TRUE\n"), Reply(200, b"TRUE")]).fetch)
    assert source.look(NOW) is None
    assert source.look(NOW + 5) == Notice("GCE has preempted this machine", 30.0)
    assert source.look(NOW + 15) == Notice("GCE has preempted this machine", 20.0)


def test_gce_wants_its_header() -> None:
    """Without the header the service refuses, so that no page in a browser can ask it."""
    service = Service(preempted=Reply(200, b"FALSE"))
    gce.Gce(service.fetch, "http://there").look(NOW)
    assert service.asked == [
        ("GET", "http://there/computeMetadata/v1/instance/preempted", {"Metadata-Flavor": "Google"})
    ]
    with pytest.raises(ValueError, match="expected TRUE or FALSE"):
        gce.parse(Reply(200, b"<html>"))


# -- Azure


def event(kind: str, *machines: str, when: str = "Wed, 26 Nov 2025 00:00:40 GMT") -> dict[str, object]:
    return {"EventId": "f0", "EventType": kind, "Resources": list(machines), "NotBefore": when}


@pytest.mark.parametrize("kind", ["Preempt", "Terminate", "Redeploy", "Reboot"])
def test_azure_takes_the_machine(kind: str) -> None:
    """Events that end what runs are notices, with the time before which nothing happens."""
    notice = azure.parse(said({"Events": [event(kind, "me")]}), "me", NOW)
    assert notice == Notice(f"Azure: {kind} of this machine (event f0)", 40.0)


@pytest.mark.parametrize("events", [[], [event("Freeze", "me")], [event("Preempt", "other")], ["?"]])
def test_azure_means_somebody_else(events: list[object]) -> None:
    """A machine that is only paused, and events of other machines of a set, end nothing here."""
    assert azure.parse(said({"Events": events}), "me", NOW) is None


def test_azure_has_begun() -> None:
    """An event that has begun has no time any more: little is left."""
    notice = azure.parse(said({"Events": [event("Preempt", "me", when="")]}), "me", NOW)
    assert notice is not None
    assert notice.left == azure.BEGUN


def test_azure_the_first_event_counts() -> None:
    """Of several events the one that comes first is told."""
    later = event("Reboot", "me", when="Wed, 26 Nov 2025 01:00:00 GMT")
    notice = azure.parse(said({"Events": [later, event("Preempt", "me")]}), "me", NOW)
    assert notice is not None
    assert notice.left == 40.0


@pytest.mark.parametrize("when", ["soon", "Mon, 19 Sep 99999999999999999999 18:29:47 GMT"])
def test_azure_says_no_time(when: str) -> None:
    """An event at a time that is none is an error of its service, which the lookout tells."""
    with pytest.raises(ValueError, match="xpected a time|Invalid date"):
        azure.parse(said({"Events": [event("Preempt", "me", when=when)]}), "me", NOW)


def test_azure_asks_for_its_name_until_it_is_told() -> None:
    """A name that was not told at once is asked for again: events of other machines do not stay taken for ours."""
    service = Service(
        scheduledevents=said({"Events": [event("Preempt", "other")]}), name=[Reply(429, b""), Reply(200, b"me")]
    )
    source = azure.Azure(service.fetch, "http://there")
    assert source.look(NOW) is not None
    assert source.look(NOW) is None


def test_azure_asks_for_its_name_once() -> None:
    """The machine's name, by which events are told to it, is asked for once."""
    service = Service(scheduledevents=said({"Events": [event("Preempt", "me")]}), name=Reply(200, b"me"))
    source = azure.Azure(service.fetch, "http://there")
    assert source.look(NOW) == source.look(NOW)
    assert [url.split("?")[0] for _, url, _ in service.asked] == [
        "http://there/metadata/instance/compute/name",
        "http://there/metadata/scheduledevents",
        "http://there/metadata/scheduledevents",
    ]
    assert all(headers == {"Metadata": "true"} for _, _, headers in service.asked)


# -- machine/job features


def test_mjf_tells_the_end_of_a_life() -> None:
    """A shutdown time is an end that comes, and no order to stop now: what runs goes on until it is near."""
    assert mjf.parse("shutdowntime", f"{NOW + 7200:.0f}\n", NOW) == Notice(
        f"shutdowntime says that it ends at {NOW + 7200:.0f}", 7200.0, at_once=False
    )
    assert mjf.parse("shutdowntime", "\n", NOW) is None
    for wrong in ("soon", "-1", "nan", "1e300"):
        with pytest.raises(ValueError, match="could not convert|expected seconds"):
            mjf.parse("shutdowntime", wrong, NOW)


def test_mjf_over_http() -> None:
    """Features may lie below a URL; the earlier of machine and job counts, and one that is not there says nothing."""
    service = Service(shutdowntime_job=Reply(404, b""), shutdowntime=Reply(200, str(NOW + 60).encode()))
    environment = {"MACHINEFEATURES": "http://site/mf", "JOBFEATURES": "http://site/jf/1"}
    (source,) = mjf.sources(environment, service.fetch)
    notice = source.look(NOW)
    assert notice is not None
    assert notice.left == pytest.approx(60.0)
    assert [url for _, url, _ in service.asked] == ["http://site/mf/shutdowntime", "http://site/jf/1/shutdowntime_job"]


def test_no_features_no_source() -> None:
    """Where the environment names no features nobody is asked."""
    assert mjf.sources({}, Service().fetch) == ()


# -- where we are


@pytest.mark.parametrize(
    ("dmi", "cloud"),
    [
        ({"sys_vendor": "Amazon EC2", "product_name": "m5.large"}, "ec2"),
        ({"sys_vendor": "Xen", "bios_version": "4.11.amazon"}, "ec2"),
        ({"sys_vendor": "Google", "product_name": "Google Compute Engine"}, "gce"),
        ({"sys_vendor": "Microsoft Corporation", "chassis_asset_tag": places.AZURE_TAG}, "azure"),
        ({"sys_vendor": "Microsoft Corporation", "chassis_asset_tag": "1234"}, None),
        ({"sys_vendor": "Dell Inc."}, None),
        ({}, None),
    ],
)
def test_the_firmware_says_which_cloud(dmi: dict[str, str], cloud: str | None) -> None:
    """No metadata address is asked on a machine whose firmware names none of the clouds that give notices."""
    assert places.cloud_of(dmi) == cloud
    found = places.sources({}, cloud, None, Service().fetch)
    assert [source.name.lower() for source in found] == ([] if cloud is None else [cloud])


@pytest.mark.parametrize("url", ["http://127.0.0.1:bad/x", "http://[x/y", "169.254.169.254/x"])
def test_an_address_that_is_none(url: str) -> None:
    """An address that somebody got wrong is an error like a service's, which the lookout tells."""
    with pytest.raises(ValueError, match=r"[Pp]ort|IPv6|address"):
        places.fetch("GET", url, {})


# -- the lookout


class Talker:
    """A source that says one thing after another."""

    def __init__(self, *words: Notice | Exception | None) -> None:
        self.name = "talker"
        self.words = list(words)
        self.looks = 0

    def look(self, now: float) -> Notice | None:
        self.looks += 1
        word = self.words.pop(0) if self.words else OSError("away")
        if isinstance(word, Exception):
            raise word
        return word


def watched(talker: Talker, turns: int) -> tuple[list[Notice], list[str]]:
    noticed: list[Notice] = []
    heard: list[str] = []
    lookout = Lookout([talker], noticed=noticed.append, clock=lambda: NOW, say=heard.append)
    for turn in range(turns):
        lookout.turn(turn)
    return noticed, heard


def test_told_once() -> None:
    """A notice that is there at every look is told once; another one is told too."""
    again, other = Notice("a", 30.0), Notice("b", 10.0)
    noticed, heard = watched(Talker(None, again, Notice("a", 25.0), other, Notice("a", 20.0)), 5)
    assert noticed == [again, other]
    assert heard == []


def test_trouble_is_told_once_and_ends_nothing() -> None:
    """A source that cannot be read is told once; a notice that comes afterwards is heard."""
    noticed, heard = watched(Talker(OSError("refused"), ValueError("garbled"), Notice("a", 30.0)), 3)
    assert noticed == [Notice("a", 30.0)]
    assert heard == ["no word about the machine's end from talker: refused"]


def test_who_never_answers_is_asked_less_often() -> None:
    """A source without an answer is looked at seldom after a while, and still."""
    talker = Talker()
    watched(talker, 10 * SLOWER)
    assert MISSED + 9 <= talker.looks <= MISSED + 11


# -- the time that is left


@given(st.floats(0, 1e6))
def test_all_time_is_used_and_no_more(left: float) -> None:
    """The parts are what is left, payloads have the most of it, and nobody less than nothing."""
    times = divide(left)
    assert times.total == pytest.approx(left)
    assert min(times.grace, times.files, times.rest) >= 0
    assert times.grace >= times.files >= 0


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_more_time_is_never_worse(one: float, other: float) -> None:
    """Whoever has more time has at least as much for each part."""
    less, more = sorted((one, other))
    a, b = divide(less), divide(more)
    slack = 1e-6 * max(1.0, more)
    assert a.grace <= b.grace + slack
    assert a.files <= b.files + slack
    assert a.rest <= b.rest + slack


def test_two_minutes() -> None:
    """Of the two minutes of a spot instance a payload has more than one, and its files most of another."""
    times = divide(120.0)
    assert (times.grace, times.files, times.rest) == (69.0, 46.0, 5.0)
