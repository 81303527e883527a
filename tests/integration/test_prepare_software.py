"""The standard command that makes software visible, with a community's path and setup script, as real processes."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from commands.context import Context, Unfit
from commands.prepare_software import prepare_software
from pilot.errors import PilotageError
from pilot.steps.guest import TooLate
from pilot.steps.output import StepLog
from tests.steps_scene import Scene, nowhere

pytestmark = pytest.mark.integration


def prepared(
    tmp_path: Path, script: str = "", log: StepLog | None = None, timeout: float = 60, **options: str
) -> Context:
    """The context after the command with these options; `script` is its setup script."""
    software = tmp_path / "software"
    software.mkdir(exist_ok=True)
    if script:
        (software / "setup.sh").write_text(script)
        options = {"path": str(software), "setup": "setup.sh", **options}
    scene = Scene(tmp_path / "work")
    context = scene.context(
        command="prepare_software", options={"prepare_software": options}, environment={"KEPT": "1"}
    )
    return scene.guests.run(replace(prepare_software, timeout=timeout), context, log or nowhere())


def test_what_the_script_sets_goes_to_payloads(tmp_path: Path) -> None:
    """Every change of the environment, and nothing else: quotes, line breaks and equal signs as they are."""
    script = """
    export RELEASE='v9 "x" = y'
    export LINES2='one
two'
    unexported=1
    PATH=/opt/sw/bin:$PATH; export PATH
    export HOME=/else USER=else PILOTAGE_JOB=7
    export KEPT=changed
    cd /
    """
    after = prepared(tmp_path, script).environment
    assert after["RELEASE"] == 'v9 "x" = y'
    assert after["LINES2"] == "one\ntwo"
    assert after["KEPT"] == "changed"
    assert after["PATH"].startswith("/opt/sw/bin:")
    assert set(after) == {"RELEASE", "LINES2", "KEPT", "PATH"}


def test_secrets_of_the_pilot_are_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script starts with little of the pilot's environment, so that it can hand on nothing of the rest."""
    monkeypatch.setenv("SOME_SECRET", "s3cret")
    log = nowhere()
    after = prepared(tmp_path, "export SEEN=${SOME_SECRET:-nothing}; env | sort", log)
    assert after.environment["SEEN"] == "nothing"
    assert "s3cret" not in log.tail()


def test_bash_may_read_it(tmp_path: Path) -> None:
    """`shell` names another that reads the script."""
    after = prepared(tmp_path, "words=(one two); export SECOND=${words[1]}", shell="/bin/bash")
    assert after.environment["SECOND"] == "two"


def test_programs_of_the_software_come_first(tmp_path: Path) -> None:
    """A folder `bin` of the software is in front of the PATH, and the script finds it there."""
    (tmp_path / "software" / "bin").mkdir(parents=True)
    tool = tmp_path / "software" / "bin" / "the-tool"
    tool.write_text("#!/bin/sh\necho found\n")
    tool.chmod(0o755)
    after = prepared(tmp_path, "export TOOL=$(the-tool)").environment
    assert after["TOOL"] == "found"
    assert after["PATH"].split(":")[0] == str(tool.parent)


def test_variables_stand_beside_it(tmp_path: Path) -> None:
    """Options in capital letters are variables, which the script sees and payloads get."""
    after = prepared(tmp_path, "export BOTH=$VERSION-x", VERSION="v8").environment
    assert (after["VERSION"], after["BOTH"]) == ("v8", "v8-x")


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo cannot find the release >&2; false", "ended with exit code 1: cannot find the release"),
        ("return 7", "ended with exit code 7, and said nothing"),
        ("no_such_command_here", "ended with exit code 127: "),
        ("exit 0", "ended its shell, so its environment is not known"),
        ("kill -9 $$", "ended with exit code -9"),
    ],
)
def test_a_script_that_fails_is_told(tmp_path: Path, script: str, problem: str) -> None:
    """The outcome has the exit code and the last lines of the script."""
    with pytest.raises(PilotageError, match=".*") as caught:
        prepared(tmp_path, script)
    assert problem in str(caught.value)


def test_a_script_that_hangs_is_ended(tmp_path: Path) -> None:
    """Its time is the step's."""
    with pytest.raises(TooLate, match="not done after 1 s"):
        prepared(tmp_path, "sleep 985", timeout=1)


@pytest.mark.parametrize(
    ("options", "kind", "problem"),
    [
        ({"path": "/cvmfs/no/such/place"}, Unfit, "cannot be reached from this machine: No such file"),
        ({"path": "software"}, PilotageError, "expected an absolute path of the software"),
        ({"setup": "/no/such/setup.sh"}, Unfit, "the setup script /no/such/setup.sh is not on this machine"),
        ({"setup": "setup.sh"}, PilotageError, "expected an absolute path of the setup script"),
        ({"pathh": "/x"}, PilotageError, "or A_VARIABLE for payloads, got 'pathh'"),
        ({"PILOTAGE_JOB": "1"}, PilotageError, "or A_VARIABLE for payloads, got 'PILOTAGE_JOB'"),
    ],
)
def test_what_is_not_there_is_told(
    tmp_path: Path, options: dict[str, str], kind: type[PilotageError], problem: str
) -> None:
    """A machine without the software is not fit; an option that is none is a mistake of the settings."""
    with pytest.raises(PilotageError, match=".*") as caught:
        prepared(tmp_path, **options)
    assert type(caught.value) is kind
    assert problem in str(caught.value)
    assert os.environ.get("KEPT") is None
