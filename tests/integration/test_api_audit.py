"""The audit over the wire, with a real central: what is noted, who may read it, and that its chain holds."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from central.configuration import settings_file
from central.folder import Folder
from pilot import protocol
from pilot.audit import AuditChain, AuditLine, AuditPage
from pilot.errors import Refusal
from pilot.states import OrderVerb
from pilot.views import OrderReply, OrderRequest, Selection, VerbReply, VerbRequest
from pilotage import Client
from pilotage.__main__ import main
from tests.integration.conftest import CentralMaker
from tests.integration.running_central import Person, RunningCentral, token_of, until
from tests.integration.wire_pilot import SignedPilot
from tests.postgres import cluster

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def oli(central: RunningCentral) -> Person:
    return central.person("oli")


@pytest.fixture
def client(central: RunningCentral) -> Iterator[Client]:
    with Client(central.url, token_of("oli"), central.ca) as client:
        yield client


def lines(person: Person, query: str = "") -> tuple[AuditLine, ...]:
    return person.read(f"/v1/audit?limit=1000{query}", AuditPage).lines


def noted(person: Person, query: str) -> AuditLine:
    """The line that must come to be: refusals are written within a second."""
    return until(lambda: lines(person, query), f"a line of the audit: {query}")[0]


def kill(person: Person, *jobs: int) -> None:
    person.say("/v1/jobs/kill", VerbRequest(Selection(ids=jobs), reason="too many"), VerbReply)


def test_what_operators_do_is_noted(central: RunningCentral, oli: Person) -> None:
    """Before it is answered, with who and why; nobody but operators sees it."""
    oli.post("/v1/sites/here/ban", data=b'{"reason": "the roof leaks"}')
    oli.post("/v1/sites/here/unban", data=b"{}")
    oli.post("/v1/sites", data=b'{"name": "there"}')
    oli.delete("/v1/sites/there")
    found = lines(oli, "&what=site")
    assert [(one.who, one.what, one.subject, one.detail) for one in found] == [
        ("oli", "site.remove", "there", ""),
        ("oli", "site.add", "there", ""),
        ("oli", "site.unban", "here", ""),
        ("oli", "site.ban", "here", "the roof leaks"),
    ]
    assert {one.community for one in found} == {""}
    assert lines(central.person("cam"), "&what=site") == ()


def test_what_changes_nothing_is_not_noted(oli: Person) -> None:
    """A refusal of everyday life leaves no line."""
    before = lines(oli, "&subject=nowhere")
    assert oli.post("/v1/sites/nowhere/ban", data=b'{"reason": "x"}').status_code == 404
    assert lines(oli, "&subject=nowhere") == before == ()


def test_orders_to_pilots_are_noted(central: RunningCentral, oli: Person) -> None:
    """As a matter of the community that the pilot is for."""
    pilot = central.pilot()
    oli.say(f"/v1/pilots/{pilot.stamp}/orders", OrderRequest(OrderVerb.DRAIN, "60", "enough"), OrderReply)
    (line,) = lines(central.person("cam"), f"&what=pilot.order&subject={pilot.stamp}")
    assert (line.who, line.community, line.detail) == ("oli", "physics", "drain 60: enough")


def test_verbs_on_the_jobs_of_others_are_noted(central: RunningCentral, oli: Person) -> None:
    """One's own are in the history of the job."""
    ann, ben, cam = (central.person(name) for name in ("ann", "ben", "cam"))
    one, two, own = ann.submit_one(), ann.submit_one(), cam.submit_one()
    bens = ben.submit_one()
    kill(ann, one)
    assert lines(oli, "&what=job") == ()
    kill(cam, two, bens, own)
    found = lines(cam, "&what=job.kill")
    assert [(line.who, line.owner, line.subject, line.job, line.detail) for line in found] == [
        ("cam", "ben", f"job {bens}", bens, "too many"),
        ("cam", "ann", f"job {two}", two, "too many"),
    ]
    kill(ann, ben.submit_one())
    line = noted(cam, "&what=refused&who=ann")
    assert (line.community, line.subject) == ("physics", "POST /v1/jobs/kill")
    assert line.detail.startswith("forbidden: job ")


def test_tokens_and_rights_that_are_refused_are_noted(central: RunningCentral, oli: Person) -> None:
    """With who it was, as far as that is known, and from where; never with what was shown."""
    central.person("dan").get("/v1/audit")
    line = noted(oli, "&what=refused&who=dan")
    assert (line.community, line.subject) == ("biology", "GET /v1/audit")
    assert "forbidden" in line.detail
    stranger = central.person(None)
    stranger.headers["Authorization"] = "Bearer open-sesame-open-sesame"
    stranger.get("/v1/jobs")
    line = noted(oli, "&what=refused&subject=GET%20/v1/jobs")
    assert line.who.startswith("nobody at 127.0.0.1")
    assert "unauthorized" in line.detail
    assert "sesame" not in str(lines(oli))


def test_one_who_is_refused_again_and_again_fills_nothing(central: RunningCentral, oli: Person) -> None:
    """So many lines in a minute, and then one that says how many more there were."""
    eve = central.person("eve")
    for _ in range(30):
        assert eve.get("/metrics").status_code == 403
    noted(oli, "&what=refused&who=eve")
    until(lambda: len(lines(oli, "&what=refused&who=eve")) >= 10, "ten lines")
    assert len(lines(oli, "&what=refused&who=eve")) <= 20  # where the minute turned meanwhile


def test_enrolments_and_their_refusals_are_noted(central: RunningCentral, oli: Person) -> None:
    """The pilot by its stamp; of somebody else with its secret, where that one was."""
    pilot = central.pilot(enrolled=False)
    pilot.enrol((protocol.Fact("host", "node-7", "uname"),))
    line = noted(oli, f"&what=pilot.enrol&subject={pilot.stamp}")
    assert (line.who, line.community, line.detail) == (f"pilot {pilot.stamp}", "physics", "queue local, on node-7")
    thief = SignedPilot(central.url, central.ca, pilot.stamp, pilot.secret)
    with pytest.raises(Refusal, match="another session key"):
        thief.enrol()
    thief.http.close()
    line = noted(oli, f"&what=refused&subject=POST%20/v1/pilots/{pilot.stamp}/enrol")
    assert line.detail.startswith("secret-used")
    pilot.resume()
    assert noted(oli, f"&what=pilot.resume&subject={pilot.stamp}").detail.startswith(f"epoch {pilot.epoch}")


def test_signatures_that_do_not_fit_are_noted(central: RunningCentral, oli: Person) -> None:
    """By the pilot whose token was shown."""
    pilot = central.pilot()
    pilot.key = b"x" * 32
    with pytest.raises(Refusal, match="signature"):
        pilot.renew()
    line = noted(oli, f"&what=refused&who=pilot%20{pilot.stamp}")
    assert line.detail.startswith("bad-signature")


def test_people_read_what_is_of_their_community(central: RunningCentral, oli: Person) -> None:
    """Members nothing, community-admins their own, operators all; links are for operators."""
    cam = central.person("cam")
    assert central.person("ann").get("/v1/audit").status_code == 403
    assert {one.community for one in lines(cam)} <= {"physics"}
    assert cam.get("/v1/audit?community=biology").status_code == 404
    assert cam.get("/v1/audit/chain").status_code == 403
    assert {"", "physics"} <= {one.community for one in lines(oli)}
    assert {one.community for one in lines(oli, "&community=biology")} == {"biology"}


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "since=nan", "before=-1", f"job={2**63}", "nothing=1"])
def test_questions_that_make_no_sense_are_refused(oli: Person, query: str) -> None:
    """With the place."""
    assert oli.get(f"/v1/audit?{query}").status_code == 422


def test_pages_follow_each_other(client: Client) -> None:
    """Every line once, the newest first."""
    ids = [line.id for line in client.audit()]
    assert ids == sorted(set(ids), reverse=True)
    assert [line.id for line in client.audit(limit=3)] == ids[:3] or len(ids) < 3


def test_the_chain_holds_and_the_end_is_known_outside(central: RunningCentral, oli: Person) -> None:
    """What is noted is linked within seconds; the newest link is in the folder and in the figures."""
    oli.post("/v1/sites/here/ban", data=b'{"reason": "again"}')
    part = chained(oli)
    newest = part.links[-1].link
    assert {one.sealed for one in part.links} == {"good"}
    anchor = until(lambda: str(newest.hash) in (central.folder / "audit.anchor").read_text(), "the anchor")
    assert anchor
    figures = oli.get("/metrics").text
    assert f"pilotage_audit_link {float(newest.number)}" in figures
    assert "pilotage_audit_broken 0.0" in figures


def chained(oli: Person) -> AuditChain:
    """The end of the chain, once nothing waits for a link."""
    part = until(lambda: linked(oli), "a chain without lines that wait")
    assert part is not None
    return part


def linked(oli: Person) -> AuditChain | None:
    part = oli.read("/v1/audit/chain", AuditChain)
    while part.more:
        part = oli.read(f"/v1/audit/chain?after={part.links[-1].link.number}", AuditChain)
    return None if part.unlinked or not part.links else part


class Folders:
    """`pilotage` for the operator of a central."""

    def __init__(self, central: RunningCentral, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PILOTAGE_URL", central.url)
        monkeypatch.setenv("PILOTAGE_TOKEN", token_of("oli"))
        monkeypatch.setenv("PILOTAGE_CA", central.ca)
        monkeypatch.setenv("PILOTAGE_FOLDER", str(central.folder))


def test_the_command_line_lists_exports_and_verifies(
    make_central: CentralMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through the API, from an export, and from the store; and each says what was changed behind the central's back."""
    central = make_central()
    Folders(central, monkeypatch)
    oli = central.person("oli")
    oli.post("/v1/sites/here/ban", data=b'{"reason": "the roof leaks"}')
    oli.post("/v1/sites/here/unban", data=b"{}")
    chained(oli)
    assert main(["audit", "list", "--what", "site", "--since", "1d"]) == 0
    assert "site.ban" in capsys.readouterr().out
    export = tmp_path / "audit.jsonl"
    assert main(["audit", "export", str(export)]) == 0
    anchor = capsys.readouterr().out.split("up to link ")[1].strip()
    assert export.stat().st_mode & 0o777 == 0o600
    for words in ((), ("--offline",), (str(export),), ("--expect", anchor), (str(export), "--expect", anchor)):
        assert main(["audit", "verify", *words]) == 0, words
        assert "is as it was noted" in capsys.readouterr().out
    tamper(central, CHANGE)
    for words in ((), ("--offline",)):
        assert main(["audit", "verify", *words]) == 1, words
        assert "was changed (link" in capsys.readouterr().out
    done = central.run("verify-audit")
    assert done.returncode == 1
    assert "was changed (link" in done.stderr
    export.write_text(export.read_text().replace("the roof leaks", "all is well"))
    assert main(["audit", "verify", str(export)]) == 1
    assert "was changed (link" in capsys.readouterr().out
    export.write_text("{}\n")
    assert main(["audit", "verify", str(export)]) == 1
    assert main(["audit", "verify", "--expect", "7:x"]) == 2


CHANGE = "UPDATE audit SET detail = 'all is well' WHERE what = 'site.ban'"
CUT_OFF = (
    "DELETE FROM audit WHERE id > (SELECT last FROM audit_links ORDER BY number DESC LIMIT 1 OFFSET 1)",
    "DELETE FROM audit_links WHERE number = (SELECT max(number) FROM audit_links)",
)


def tamper(central: RunningCentral, *statements: str) -> None:
    """As somebody who owns the database."""
    service = settings_file.load(central.folder / "central.toml").service
    if service.database.startswith("postgres"):
        cluster().execute(service.database, "; ".join(("SET session_replication_role = replica", *statements)))
        return
    with contextlib.closing(sqlite3.connect(Folder(central.folder).database(service), timeout=30)) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            if name.startswith("audit"):
                database.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            database.execute(statement)
        database.commit()


def test_the_leader_sees_within_seconds_that_the_end_was_cut_off(central: RunningCentral, oli: Person) -> None:
    """It says so in the log, in the figures, and in the audit."""
    oli.post("/v1/sites/here/ban", data=b'{"reason": "before"}')
    before = chained(oli)
    tamper(central, *CUT_OFF)
    line = noted(oli, "&what=audit.broken")
    assert (line.who, before.links[-1].link.hash in line.detail) == ("central", True)
    assert "pilotage_audit_broken 1.0" in until(lambda: broken(oli), "the figures")
    assert "The audit is not as it was left" in central.words()


def broken(oli: Person) -> str:
    text = oli.get("/metrics").text
    return text if "pilotage_audit_broken 1.0" in text else ""


def test_old_lines_are_let_go_of(make_central: CentralMaker) -> None:
    """Where the settings say so, with their links; what is left verifies, and says what is gone."""
    central = make_central('keep_audit = "60 s"')
    oli = central.person("oli")
    oli.post("/v1/sites/here/ban", data=b'{"reason": "long ago"}')
    chained(oli)
    oli.post("/v1/sites/here/unban", data=b"{}")
    line = until(lambda: lines(oli, "&what=audit.retire"), "old lines to be gone")[0]
    assert line.who == "central"
    assert lines(oli, "&what=site.ban") == ()
    part = chained(oli)
    assert (part.start is not None, part.start_sealed) == (True, "good")
    assert central.run("verify-audit").returncode == 0
