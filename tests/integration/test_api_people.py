"""Communities, groups, members and tokens while a central runs: who may give what, what each token opens, and who is
let go of."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from pilot.errors import Refusal
from pilot.people import SCOPES
from pilot.states import JobState
from pilotage import Client
from tests.integration.conftest import CentralMaker
from tests.integration.running_central import RunningCentral, token_of, until

JOB = {"command": ["true"]}


class Town:
    """One central, and its people by name or by token."""

    def __init__(self, central: RunningCentral) -> None:
        self.central = central
        self._open: dict[str, Client] = {}

    def __getattr__(self, name: str) -> Client:
        """Somebody whom central.toml declares."""
        return self.by(token_of(name))

    def by(self, token: str) -> Client:
        if token not in self._open:
            self._open[token] = Client(self.central.url, token, self.central.ca, patience=5)
        return self._open[token]

    def joins(self, user: str, group: str = "muons", role: str = "member", scopes: tuple[str, ...] = SCOPES) -> Client:
        """Somebody new, whom the community-admin lets in."""
        self.cam.add_member(user, group, role)
        return self.by(self.cam.make_token(user=user, group=group, scopes=scopes).token)

    @contextmanager
    def events(self, token: str) -> Iterator[Iterator[dict[str, Any]]]:
        """What somebody who watches is told from now on."""
        headers = {"Authorization": f"Bearer {token}"}
        with requests.get(
            f"{self.central.url}/v1/events", headers=headers, verify=self.central.ca, stream=True, timeout=60
        ) as answer:
            lines = answer.iter_lines()
            assert next(lines) == b": watching"
            yield (json.loads(line.removeprefix(b"data: ")) for line in lines if line.startswith(b"data: "))

    def close(self) -> None:
        for client in self._open.values():
            client.close()


@pytest.fixture(scope="module")
def town(central: RunningCentral) -> Iterator[Town]:
    town = Town(central)
    yield town
    town.close()


def refused(call: object, *arguments: object, **named: object) -> str:
    assert callable(call)
    with pytest.raises(Refusal) as caught:
        call(*arguments, **named)
    return caught.value.type


def test_a_token_is_made_used_and_revoked(town: Town) -> None:
    """Whoever has a token is its owner, with its role; once it is revoked, nobody is. It is listed without itself."""
    made = town.ann.make_token("laptop", seconds=3600)
    laptop = town.by(made.token)
    me = laptop.whoami()
    assert (me.user, me.community, me.group, me.role) == ("ann", "physics", "muons", "member")
    assert (me.token, me.scopes) == (made.made.number, ("read", "submit", "change"))
    job = laptop.submit(JOB).ids[0]
    assert town.ann.job(job).job.owner == "ann"
    (listed,) = [one for one in town.ann.tokens() if one.number == made.made.number]
    assert (listed.name, listed.who, listed.scopes) == ("laptop", "ann", ("read", "submit", "change"))
    assert listed.used is not None
    assert abs(listed.used - time.time()) < 60
    assert abs(listed.expires - time.time() - 3600) < 60
    assert made.token not in str(town.ann.tokens(all=True))
    assert town.ann.revoke_token(made.made.number).revoked_by == "ann"
    assert refused(laptop.submit, JOB) == "unauthorized"
    assert made.made.number not in {one.number for one in town.ann.tokens()}
    assert town.ann.job(job).job.state is JobState.WAITING


def test_the_token_is_kept_nowhere(town: Town) -> None:
    """Neither the database nor the log has it."""
    token = town.ann.make_token("secret").token
    kept = b"".join(path.read_bytes() for path in town.central.folder.iterdir() if path.is_file())
    assert token.encode() not in kept
    assert token_of("ann").encode() not in kept


@pytest.mark.parametrize(
    ("scope", "may"),
    [
        ("read", {"read"}),
        ("submit", {"submit"}),
        ("change", {"change"}),
        ("secrets", {"secrets"}),
        ("manage", {"manage"}),
    ],
)
def test_a_token_opens_what_it_was_made_for(town: Town, scope: str, may: set[str]) -> None:
    """Each scope opens its own, and nothing of the others."""
    job = town.ann.submit(JOB).ids[0]
    client = town.by(town.ann.make_token(scopes=[scope]).token)
    asked = {
        "read": lambda: client.job(job),
        "submit": lambda: client.submit(JOB),
        "change": lambda: client.hold([job]),
        "secrets": lambda: client.keep_credential("s", "text", {"text": "a long secret"}),
        "manage": lambda: client.revoke_token(client.make_token(scopes=["manage"]).made.number),
    }
    for name, ask in asked.items():
        if name in may:
            ask()
        else:
            assert refused(ask) == "forbidden", name


def test_a_token_makes_none_that_is_wider(town: Town) -> None:
    """Neither in scopes, role, group nor time; what it makes for its owner ends with it."""
    first = town.cam.make_token(scopes=["read", "manage"], role="member", seconds=600)
    client = town.by(first.token)
    assert refused(client.make_token, scopes=["submit"]) == "forbidden"
    assert refused(client.make_token, scopes=["read"], role="community-admin") == "forbidden"
    assert refused(client.make_token, scopes=["read"], group="muons") == "forbidden"
    assert refused(client.add_group, "physics", "more") == "forbidden"
    second = client.make_token(scopes=["read"], seconds=86400)
    assert (second.made.role, second.made.parent) == ("member", first.made.number)
    assert second.made.expires <= first.made.expires
    town.cam.revoke_token(first.made.number)
    assert refused(town.by(second.token).whoami) == "unauthorized"


def test_a_token_ends(town: Town) -> None:
    """What has ended opens nothing, and is listed only when asked for."""
    for seconds in (0, 59, 367 * 86400):
        assert refused(town.ann.make_token, seconds=seconds) == "invalid"
    assert refused(town.ann.make_token, scopes=[]) == "invalid"
    assert refused(town.ann.make_token, scopes=["everything"]) == "invalid"


def test_members_are_let_in_by_whoever_may(town: Town) -> None:
    """A group-admin lets members into the own group, a community-admin gives roles up to the own in all of the
    community, an operator everywhere; nobody more."""
    assert refused(town.ann.add_member, "new") == "forbidden"
    assert refused(town.gus.add_member, "new", "tau") == "forbidden"
    assert refused(town.gus.add_member, "new", "muons", "group-admin") == "forbidden"
    assert refused(town.cam.add_member, "new", "tau", "operator") == "forbidden"
    assert refused(town.cam.add_member, "new", "cells", community="biology") == "not-found"
    assert refused(town.cam.add_member, "new", "nowhere") == "not-found"
    assert refused(town.cam.add_member, "no/name", "tau") == "invalid"
    assert town.gus.add_member("new").who == "gus"
    assert town.cam.change_role("new", "community-admin", "muons").role == "community-admin"
    assert refused(town.gus.change_role, "new", "member") == "forbidden"
    assert refused(town.gus.revoke_member, "new") == "forbidden"
    assert refused(town.gus.add_member, "new") == "conflict"
    assert refused(town.cam.change_role, "nobody", "member") == "not-found"
    assert town.oli.add_member("far", "cells", "operator", "biology").role == "operator"
    town.cam.revoke_member("new")
    town.oli.revoke_member("far", community="biology")


def test_everybody_sees_what_is_theirs_to_see(town: Town) -> None:
    """Members see themselves, admins their group or community, operators all; the rest is as if it were not there."""
    number = town.dan.make_token().made.number
    own = town.ann.make_token().made.number
    assert {one.user for one in town.ann.members()} == {"ann"}
    assert {one.group for one in town.gus.members()} == {"muons"}
    assert {one.community for one in town.cam.members()} == {"physics"}
    assert {one.community for one in town.oli.members()} == {"physics", "biology"}
    for asked in (town.ann, town.gus, town.cam):
        assert refused(asked.members, "biology") == "not-found"
        assert refused(asked.revoke_token, number) == "not-found"
        assert refused(asked.community, "biology") == "not-found"
        assert refused(asked.revoke_member, "dan", community="biology") == "not-found" or asked is town.ann
    assert refused(town.ben.revoke_token, own) == "not-found"
    assert refused(town.ann.tokens, user="ben") == "not-found"
    assert own in {one.number for one in town.gus.tokens()}
    assert number not in {one.number for one in town.cam.tokens()}
    assert town.gus.revoke_token(own).revoked_by == "gus"
    assert [one.name for one in town.dan.communities()] == ["biology"]
    assert len(town.oli.communities()) >= 2


def test_nobody_speaks_for_somebody_above(town: Town) -> None:
    """Whoever makes a token for another gets what that one has: only where all of the other's roles are one's to give,
    whatever role the token is for."""
    assert refused(town.gus.make_token, user="oli") == "forbidden"
    assert refused(town.cam.make_token, user="oli", group="muons") == "forbidden"
    assert refused(town.gus.make_token, user="nobody") == "not-found"
    assert refused(town.ann.make_token, user="ben") == "not-found"
    assert refused(town.cam.make_token, user="dan", group="cells", community="biology") == "not-found"
    town.gus.add_member("cam")
    assert refused(town.gus.make_token, user="cam") == "forbidden"
    town.cam.revoke_member("cam", "muons")
    town.cam.add_member("ivy", "tau", "community-admin")
    town.cam.revoke_member("ivy")
    town.gus.add_member("ivy")
    assert refused(town.gus.make_token, user="ivy") == "forbidden"
    town.cam.revoke_member("ivy")
    made = town.gus.make_token(user="ben", role="member")
    assert (made.made.user, made.made.who, made.made.parent) == ("ben", "gus", None)
    assert refused(town.gus.make_token, user="ben", role="group-admin") == "forbidden"


def test_a_role_that_is_less_counts_for_tokens_that_are_there(town: Town) -> None:
    """A token does no more than the membership that it rests on, from the moment on that this is less."""
    zoe = town.joins("zoe", role="community-admin")
    assert zoe.whoami().role == "community-admin"
    zoe.add_group("physics", "of-zoe")
    town.cam.change_role("zoe", "member", "muons")
    assert zoe.whoami().role == "member"
    assert refused(zoe.add_group, "physics", "more-of-zoe") == "forbidden"
    (listed,) = town.cam.tokens(user="zoe")
    assert listed.problem == "zoe is member there now, and it does no more"
    town.cam.remove_group("physics", "of-zoe")
    town.cam.revoke_member("zoe")


def test_who_is_let_go_of_has_nothing_any_more(town: Town) -> None:
    """Tokens end at once, jobs that wait are held and say why, and an event says so; whoever comes back needs a new
    token."""
    max_ = town.joins("max")
    jobs = max_.submit([JOB, JOB]).ids
    other = town.ann.submit(JOB).ids[0]
    with town.events(token_of("ann")) as events:
        reply = town.cam.revoke_member("max", reason="has left")
        told = next(one for one in events if one.get("job") == jobs[0])
    assert (told["state"], told["reason"]) == ("held", "max is no member of muons any more (has left)")
    assert [(one.user, one.revoked_by, one.reason) for one in reply.members] == [("max", "cam", "has left")]
    assert (reply.tokens, reply.held, reply.killed) == (1, 2, 0)
    assert refused(max_.whoami) == "unauthorized"
    for job in jobs:
        found = town.ann.job(job).job
        assert (found.state, found.reason) == (
            JobState.HELD,
            "held by cam: max is no member of muons any more (has left)",
        )
    assert town.ann.job(other).job.state is JobState.WAITING
    assert refused(town.cam.revoke_member, "max") == "not-found"
    (gone,) = [one for one in town.cam.members(all=True) if one.user == "max"]
    assert gone.revoked is not None
    town.cam.add_member("max", "muons")
    assert refused(max_.whoami) == "unauthorized"
    assert refused(town.cam.make_token, user="max", group="tau") == "not-found"
    town.cam.revoke_member("max")


def test_all_jobs_end_where_that_is_asked_for(town: Town) -> None:
    """With --kill whatever waits, is held or runs is over."""
    kim = town.joins("kim")
    waits, held = kim.submit([JOB, JOB]).ids
    kim.hold([held])
    reply = town.cam.revoke_member("kim", kill=True)
    assert (reply.killed, reply.held) == (2, 0)
    assert {town.ann.job(job).job.state for job in (waits, held)} == {JobState.KILLED}


def test_a_stream_ends_with_its_token(town: Town) -> None:
    """Whoever watches hears nothing any more once the token is revoked."""
    made = town.ann.make_token(scopes=["read"])
    with town.events(made.token) as events:
        town.ann.revoke_token(made.made.number)
        town.ann.submit(JOB)
        assert list(events) == []


def test_what_the_file_declares_is_the_files(town: Town) -> None:
    """Names and people of central.toml are neither changed nor let go of here; groups and members may be added."""
    assert refused(town.oli.add_community, "physics") == "conflict"
    assert refused(town.oli.share_community, "physics", 3.0) == "conflict"
    assert refused(town.oli.remove_community, "physics") == "conflict"
    assert refused(town.cam.add_group, "physics", "tau") == "conflict"
    assert refused(town.cam.share_group, "physics", "tau", 2.0) == "conflict"
    assert refused(town.cam.remove_group, "physics", "tau") == "conflict"
    for ask in (town.cam.add_member, town.cam.revoke_member):
        with pytest.raises(Refusal, match=r"central\.toml declares ben") as caught:
            ask("ben", "muons")
        assert caught.value.type == "conflict"


def test_communities_and_groups_come_and_go(town: Town) -> None:
    """An operator adds a community, its admin groups and members; each goes when nothing depends on it."""
    town.oli.add_community("arts", 2.0)
    town.oli.add_group("arts", "paint", 0.5)
    assert refused(town.cam.add_group, "arts", "more") == "not-found"
    town.oli.add_member("pia", "paint", "community-admin", "arts")
    pia = town.by(town.oli.make_token(user="pia", group="paint", community="arts", scopes=SCOPES).token)
    assert pia.whoami().role == "community-admin"
    pia.add_group("arts", "music")
    assert refused(pia.add_community, "more") == "forbidden"
    (shown,) = pia.communities()
    assert (shown.share, shown.declared, shown.who) == (2.0, False, "oli")
    groups = {one.name: (one.share, one.members, one.who) for one in shown.groups}
    assert groups == {"music": (1.0, 0, "pia"), "paint": (0.5, 1, "oli")}
    assert {one.group: one.share for one in pia.shares().shares if one.community == "arts" and not one.owner}[
        "paint"
    ] == 0.5
    assert pia.share_group("arts", "paint", 4.0).share == 4.0
    job = pia.submit(JOB).ids[0]
    assert refused(town.ann.job, job) == "not-found"
    assert refused(town.oli.remove_group, "arts", "paint") == "conflict"
    town.oli.revoke_member("pia", community="arts")
    with pytest.raises(Refusal, match="would not count: there is no community arts"):
        town.oli.remove_community("arts")
    for group in ("paint", "music"):
        town.oli.remove_group("arts", group)
    town.oli.remove_community("arts")
    assert refused(town.oli.community, "arts") == "not-found"


def test_all_of_it_is_there_after_a_restart(make_central: CentralMaker) -> None:
    """Members, tokens, groups and shares outlive the central, and so does the word that somebody left; what was used
    is noted."""
    central = make_central()
    town = Town(central)
    town.cam.add_group("physics", "rare", 0.25)
    amy, leo = town.joins("amy", "rare"), town.joins("leo", "rare")
    amy.whoami()
    town.cam.revoke_member("leo")
    central.end()
    central.start()
    assert amy.whoami().group == "rare"
    assert refused(leo.whoami) == "unauthorized"
    assert {one.name: one.share for one in town.cam.community("physics").groups}["rare"] == 0.25
    (listed,) = until(lambda: town.cam.tokens(user="amy"), "the token")
    assert listed.used is not None
    town.close()


def test_one_user_does_not_fill_the_central(make_central: CentralMaker) -> None:
    """Beyond the quota of jobs that wait, and of bytes, what comes is refused and told why; the same submission again,
    and a file that is there, are answered as they were; others go on."""
    central = make_central(extra='person_waiting = 3\nperson_sandbox = "1 kB"\n')
    town = Town(central)
    assert len(town.ann.submit([JOB, JOB, JOB], key="k").ids) == 3
    assert refused(town.ann.submit, JOB) == "too-large"
    assert len(town.ann.submit([JOB, JOB, JOB], key="k").ids) == 3
    town.ben.submit(JOB)
    ann = central.person("ann")
    ann.upload("first", b"1" * 900)
    with pytest.raises(Refusal, match="ann has 900 B in the sandbox store, and may have 1.0 kB") as caught:
        ann.upload("second", b"2" * 200)
    assert caught.value.type == "too-large"
    ann.upload("first", b"1" * 900)
    central.person("ben").upload("second", b"2" * 200)
    town.close()
