"""The command line for communities, groups, members and API tokens."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from pilot.errors import Refusal
from pilot.people import (
    SCOPES,
    USUAL_SCOPES,
    CommunityView,
    GroupView,
    MadeToken,
    MemberView,
    RevokeReply,
    TokenView,
)
from pilot.views import WhoAmI
from pilotage.commands_tokens import tokens_table
from pilotage.connection import Connection
from tests.unit.test_cli import FakeClient, run

CAM = WhoAmI("cam", "physics", "tau", "community-admin")
MUONS = GroupView("muons", 2.0, 3, declared=False, who="cam", changed=0.0)
PHYSICS = CommunityView("physics", 1.0, (GroupView("tau", 1.0, 1), MUONS))
BEN = MemberView("ben", "physics", "muons", "member", who="cam", created=0.0)
TOKEN = TokenView(7, "laptop", "ben", "physics", "muons", "member", ("read", "submit"), "cam", 0.0, 9e9)


def test_communities_are_a_table() -> None:
    """Each community before its groups, with who has added what."""
    told = run(FakeClient(communities=(PHYSICS,)), "community", "list").stdout.splitlines()
    assert told[0].split() == ["COMMUNITY", "GROUP", "SHARE", "MEMBERS", "ADDED", "BY", "CHANGED"]
    assert [line.split()[:3] for line in told[1:]] == [
        ["physics", "1", "central.toml"],
        ["physics", "tau", "1"],
        ["physics", "muons", "2"],
    ]
    client = FakeClient(community=PHYSICS, whoami=CAM)
    run(client, "community", "show")
    assert ("community", ("physics",), {}) in client.asked


def test_a_community_is_added_shared_and_removed() -> None:
    """What was done is told, with the share."""
    client = FakeClient(add_community=PHYSICS, share_community=PHYSICS, remove_community=PHYSICS)
    assert run(client, "community", "add", "physics", "--share", "2").stdout == (
        "the community physics is added, share 1\n"
    )
    run(client, "community", "share", "physics", "3")
    run(client, "community", "remove", "physics")
    assert client.asked == [
        ("add_community", ("physics", 2.0), {}),
        ("share_community", ("physics", 3.0), {}),
        ("remove_community", ("physics",), {}),
    ]
    for wrong in ("0", "-1", "much"):
        assert run(client, "community", "share", "physics", "--", wrong).exit_code == 2


def test_a_group_is_of_the_own_community_unless_said_otherwise() -> None:
    """Whoever names no community means the own one."""
    client = FakeClient(add_group=MUONS, share_group=MUONS, remove_group=MUONS, whoami=CAM)
    told = run(client, "group", "add", "muons", "--share", "2").stdout
    assert told == "the group muons of physics is added, share 2\n"
    run(client, "group", "share", "muons", "3")
    run(client, "group", "remove", "muons", "--community", "arts")
    assert [one for one in client.asked if one[0] != "whoami"] == [
        ("add_group", ("physics", "muons", 2.0), {}),
        ("share_group", ("physics", "muons", 3.0), {}),
        ("remove_group", ("arts", "muons"), {}),
    ]


def test_members_are_let_in_and_get_roles() -> None:
    """Whom, where and as what goes to the central, and is told."""
    admin = replace(BEN, role="group-admin")
    client = FakeClient(add_member=BEN, change_role=admin, members=(BEN, replace(BEN, declared=True)))
    assert run(client, "member", "add", "ben", "--group", "muons").stdout == "ben is member of muons in physics\n"
    told = run(client, "member", "role", "ben", "group-admin", "--group", "muons").stdout
    assert told == "ben is now group-admin of muons in physics\n"
    table = run(client, "member", "list", "--all").stdout.splitlines()
    assert ["cam" in line or "central.toml" in line for line in table[1:]] == [True, True]
    assert client.asked == [
        ("add_member", ("ben", "muons", "", ""), {"site": ""}),
        ("change_role", ("ben", "group-admin", "muons", ""), {}),
        ("members", ("", "", ""), {"site": "", "all": True}),
    ]


def test_what_becomes_of_whom_was_let_go_of_is_told() -> None:
    """Memberships, tokens and jobs; and what the file still lets that user do."""
    gone = replace(BEN, revoked=1.0, revoked_by="cam", reason="has left")
    reply = RevokeReply((gone,), 2, 5, 0, (replace(BEN, group="tau", declared=True),))
    client = FakeClient(revoke_member=reply)
    done = run(client, "member", "revoke", "ben", "--reason", "has left")
    assert done.stdout == "ben is no member of muons any more\n2 tokens ended, 5 waiting jobs held\n"
    assert "central.toml still declares ben as member of tau" in done.stderr.replace("\n", " ")
    assert client.asked == [("revoke_member", ("ben", "", ""), {"site": "", "kill": False, "reason": "has left"})]
    killed = run(FakeClient(revoke_member=replace(reply, held=0, killed=1)), "member", "revoke", "ben", "--kill")
    assert killed.stdout.endswith("2 tokens ended, 1 job killed\n")


def test_a_token_is_shown_once_alone_on_standard_output() -> None:
    """It can be put into a file or a pipe; what it is for is told beside it."""
    client = FakeClient(make_token=MadeToken("pilotage_x", TOKEN))
    done = run(client, "token", "create", "laptop")
    assert done.stdout == "pilotage_x\n"
    assert "token 7 is for ben, member of muons in physics: read, submit, until" in done.stderr.replace("\n", " ")
    nobody_else = {"user": "", "group": "", "role": "", "community": "", "site": ""}
    asked = {"scopes": USUAL_SCOPES, "seconds": 90 * 86400, **nobody_else}
    assert client.asked == [("make_token", ("laptop",), asked)]


def test_a_token_goes_into_a_new_file(tmp_path: Path) -> None:
    """A file that others cannot read and that was not there; then it is on no screen."""
    file = tmp_path / "token"
    client = FakeClient(make_token=MadeToken("pilotage_x", TOKEN))
    done = run(client, "token", "create", "--output", str(file), "--json")
    assert "pilotage_x" not in done.output
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("pilotage_x\n", 0o600)
    assert run(client, "token", "create", "--output", str(file)).exit_code == 2
    other = tmp_path / "other"
    with pytest.raises(Refusal):
        run(FakeClient(make_token=Refusal("forbidden", "no")), "token", "create", "--output", str(other))
    assert not other.exists()


def test_scopes_are_named_or_all(tmp_path: Path) -> None:
    """One by one, or every one."""
    client = FakeClient(make_token=MadeToken("pilotage_x", TOKEN))
    run(client, "token", "create", "--scope", "read", "--scope", "manage", "--for", "1h")
    run(client, "token", "create", "--scope", "all")
    assert [(one[2]["scopes"], one[2]["seconds"]) for one in client.asked] == [
        (("read", "manage"), 3600),
        (SCOPES, 90 * 86400),
    ]
    assert run(client, "token", "create", "--scope", "some").exit_code == 2


def test_tokens_are_listed_with_how_they_stand() -> None:
    """Good, ended, revoked, or good for less than they say."""
    rows = tokens_table(
        (
            TOKEN,
            replace(TOKEN, expires=5.0),
            replace(TOKEN, revoked=4.0, revoked_by="ben"),
            replace(TOKEN, problem="ben is no member of muons"),
        ),
        10.0,
    ).rows
    assert [row[-1] for row in rows] == ["good", "expired", "revoked by ben", "ben is no member of muons"]
    assert {row[7] for row in rows} == {"never"}
    client = FakeClient(tokens=(), revoke_token=replace(TOKEN, revoked=1.0))
    assert "there are none" in run(client, "token", "list").stderr
    assert run(client, "token", "revoke", "7").stdout == "token 7 of ben is revoked\n"


class Connected(FakeClient):
    """A client that says which central it asks."""

    connection = Connection("https://central.example.org", "")


KIM = MemberView("kim", "", "", "site-admin", who="oli", created=0.0, site="desy")


def test_an_admin_of_a_site_is_made_and_let_go_of() -> None:
    """A site is said instead of a group, and told instead of one."""
    client = FakeClient(add_member=KIM, revoke_member=RevokeReply((KIM,), 1, 0, 0), members=(KIM, BEN))
    assert run(client, "member", "add", "kim", "--site", "desy").stdout == "kim is site-admin of desy\n"
    told = run(client, "member", "revoke", "kim", "--site", "desy").stdout
    assert told == "kim is no admin of desy any more\n1 token ended\n"
    table = run(client, "member", "list", "--site", "desy").stdout.splitlines()
    assert table[1].split()[:3] == ["kim", "site", "desy"]
    assert client.asked == [
        ("add_member", ("kim", "", "", ""), {"site": "desy"}),
        ("revoke_member", ("kim", "", ""), {"site": "desy", "kill": False, "reason": ""}),
        ("members", ("", "", ""), {"site": "desy", "all": False}),
    ]
    for more in (("--group", "muons"), ("--community", "physics")):
        assert run(client, "member", "add", "kim", "--site", "desy", *more).exit_code == 2
        assert run(client, "member", "revoke", "kim", "--site", "desy", *more).exit_code == 2
    assert run(client, "member", "add", "kim", "--site", "desy", "--role", "operator").exit_code == 2
    assert run(client, "member", "revoke", "kim", "--site", "desy", "--kill").exit_code == 2


def test_a_token_of_an_admin_of_a_site_says_the_site() -> None:
    """When it is made, in the list, and to whoever asks whom it speaks for."""
    made = replace(TOKEN, user="kim", community="", group="", role="site-admin", site="desy")
    client = FakeClient(make_token=MadeToken("pilotage_x", made), tokens=(made,))
    done = run(client, "token", "create", "--user", "kim", "--site", "desy", "--scope", "read")
    assert "token 7 is for kim, site-admin of desy: read, submit" in done.stderr.replace("\n", " ")
    assert client.asked[0][2]["site"] == "desy"
    assert "site-admin" in run(client, "token", "list", "--site", "desy").stdout
    me = WhoAmI("kim", "", "", "site-admin", "1.0", 7, ("read",), 9e9, "desy")
    told = run(Connected(whoami=me), "whoami").stdout
    assert "site-admin" in told
    assert "desy" in told
    assert "group" not in told
