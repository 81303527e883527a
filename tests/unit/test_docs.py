"""The documentation says what the code does: tables, examples and links are checked against it."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from central.configuration.elements import Arc, Batch, Schedd, Ssh, VaultName
from central.configuration.login import Login
from central.configuration.settings import Queue, Service, Shares
from central.configuration.settings_file import read
from central.records import Limit
from pilot.errors import REFUSALS, ExitCode, InvalidJob
from pilot.jobfile import parse
from pilot.signatures import sign
from pilot.states import Outcome
from pilotage.exits import Exit

TOP = Path(__file__).resolve().parents[2]
PAGES = (TOP / "README.md", TOP / "CONTRIBUTING.md", TOP / "CHANGELOG.md", *sorted((TOP / "docs").glob("*.md")))

#: Those with settings of the central.
SETTINGS = [
    *("operating.md", "login.md"),
    *sorted(one.name for one in PAGES if one.stem.startswith(("ce-", "comput", "machines"))),
]


def page(name: str) -> str:
    return (TOP / "docs" / name).read_text()


def rows(text: str) -> list[list[str]]:
    """The cells of every row of every table."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def section(text: str, title: str) -> str:
    return text.split(f"## {title}\n")[1].split("\n## ", maxsplit=1)[0]


def test_every_refusal_is_in_the_table_of_the_wire():
    """Type, status, meaning, advice, and whether it may pass are those of pilot/errors.py."""
    table = [row for row in rows(section(page("wire.md"), "Refusals")) if row[0].startswith("`")]

    assert table == [
        [f"`{name}`", str(kind.status), kind.title, kind.action, "yes" if kind.transient else ""]
        for name, kind in REFUSALS.items()
    ]


def test_the_worked_signature_is_right():
    """The example on the page of the wire is what pilot/signatures.py makes of its inputs."""
    stamp = "0123456789abcdef" * 2
    headers = sign(
        bytes(range(32)),
        "POST",
        f"/v1/pilots/{stamp}/renew",
        b'{"epoch": 1, "version": 1}',
        "Pilot k1.example",
        keyid=stamp,
        created=1764115200,
        nonce="bm9uY2UtMDE",
    )

    for name, value in headers.items():
        assert f"    {name}: {value}\n" in page("wire.md")
    assert f'    "@signature-params": {headers["Signature-Input"].removeprefix("pilotage=")}\n' in page("wire.md")


def test_every_exit_code_is_documented():
    """Codes of the pilot and of the command line are in their tables, and no others."""
    text = page("exit-codes.md")
    pilot = {(int(row[0]), row[1]) for row in rows(section(text, "Of a pilot")) if row[0].isdigit()}
    command = {int(row[0]) for row in rows(section(text, "Of `pilotage`")) if row[0].isdigit()}

    assert pilot == {(code.value, code.name.lower().replace("_", "-")) for code in ExitCode}
    assert command == {code.value for code in Exit}


def keys(text: str) -> set[str]:
    """Everything named in the first cell of a row."""
    return {name for row in rows(text) for name in re.findall(r"`([a-z_]+)`", row[0])}


def accepted(document: dict[str, object], where: str = "") -> set[str]:
    """The keys that the job file takes there, from the problem that an unknown one is."""
    with pytest.raises(InvalidJob) as caught:
        parse(document)
    (found,) = [found for found in caught.value.problems if found.where == f"{where}nonsense"]
    return set(found.problem.split("one of ")[1].split(", "))


def test_every_key_of_the_job_file_is_documented():
    """The keys of a job and of its needs are those that the reader of job files takes."""
    top, rest = page("job-file.md").split("## Needs\n")

    assert keys(top) - {"to"} == accepted({"command": ["a"], "nonsense": 1})
    assert keys(rest.split("## What")[0]) == accepted({"command": ["a"], "needs": {"nonsense": 1}}, "needs.")


def test_every_outcome_is_explained_to_users():
    """The page of the job file says what each outcome means."""
    named = re.findall(r"`([a-z-]+)`", " ".join(row[0] for row in rows(section(page("job-file.md"), "How a job ends"))))

    assert set(named) == {outcome.value for outcome in Outcome}


def test_every_setting_is_documented():
    """The keys of [central], [shares], of a queue and of a limit are in the tables for operators."""
    text = section(page("operating.md"), "Settings")
    limit = {"running" if field.name == "attempts" else field.name for field in fields(Limit)}

    assert {field.name for kind in (Service, Shares, Queue) for field in fields(kind)} | limit <= keys(text)


def test_every_setting_of_computing_elements_is_documented():
    """The keys of the sections of a queue's computing element are in the tables of their page."""
    text = page("computing-elements.md")

    assert {field.name for kind in (Batch, Ssh, VaultName) for field in fields(kind)} <= keys(text)
    assert {field.name for field in fields(Arc)} <= keys(page("ce-arc.md"))
    assert {field.name for field in fields(Login)} <= keys(page("login.md"))
    assert {field.name for field in fields(Schedd)} <= keys(page("ce-condor.md"))


@pytest.mark.parametrize("name", SETTINGS)
def test_the_examples_of_settings_are_valid(name):
    """Every TOML block of the pages for operators is read, in settings that declare what it names."""
    blocks = re.findall(r"```toml\n(.*?)```", page(name), re.DOTALL)

    assert blocks
    for block in blocks:
        known = '[[communities]]\nname = "physics"\ngroups = [{name = "muons"}]\n[[sites]]\nname = "here"\n'
        read(known + block)


def test_the_examples_of_job_files_are_valid():
    """Every YAML block of the pages is a job that is accepted."""
    found = [block for path in PAGES for block in re.findall(r"```yaml\n(.*?)```", path.read_text(), re.DOTALL)]

    assert len(found) >= 3
    for block in found:
        parse(yaml.safe_load(block))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_and_paths_lead_somewhere(path):
    """What a page links to, and every file of ours that it names, exists."""
    text = path.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    named = re.findall(
        r"`((?:docs|pilot|central|commands|wrappers|pilotage|examples|tests|bench)/[\w./-]+\.\w+)`", text
    )

    missing = [link for link in links if not (path.parent / link).exists()]
    missing += [name for name in named if not (TOP / name).exists()]
    assert missing == []
