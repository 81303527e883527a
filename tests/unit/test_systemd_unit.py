"""The unit of the central says what it should; `systemd-analyze verify` is asked in tests/integration."""

from configparser import RawConfigParser
from pathlib import Path

import wrappers
from central.__main__ import _parser, _serve

UNIT = Path(wrappers.__file__).with_name("pilotage-central.service")


def service() -> dict[str, str]:
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return dict(parser["Service"])


def test_the_central_comes_back_and_keeps_to_its_folder() -> None:
    """Killed, it is started again; it may write to its own folder alone, and nobody else may read that."""
    settings = service()
    assert settings["StateDirectory"] == "pilotage"
    assert settings["StateDirectoryMode"] == "0700"
    assert settings["Restart"] == "always"
    assert settings["ProtectSystem"] == "strict"


def test_the_command_is_one_that_the_central_knows() -> None:
    """What systemd starts is the verb that serves, with the state directory as its folder."""
    program, _, arguments = service()["ExecStart"].partition(" -m central ")
    assert program == "/usr/bin/env python3 -P"
    options = _parser().parse_args(arguments.replace("%S", "/var/lib").split())
    assert options.run is _serve
    assert options.folder.path == Path("/var/lib/pilotage")


def test_the_central_has_no_privileges() -> None:
    """Not root, no capabilities, no way to get any."""
    settings = service()
    assert settings["User"] == "pilotage"
    assert settings["NoNewPrivileges"] == "yes"
    assert settings["CapabilityBoundingSet"] == ""


def test_pilots_of_this_host_survive_a_restart() -> None:
    """Only the central itself is ended, not the pilots that it started."""
    assert service()["KillMode"] == "process"
