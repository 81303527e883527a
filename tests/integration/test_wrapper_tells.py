"""What only the wrapper can see, told to a real central and read there by a person."""

from __future__ import annotations

from pathlib import Path

from tests.system import Plan, System, running_system, wait_for


def boot_log(system: System) -> str:
    """What the first pilot's wrapper told the central, once it did."""
    with system.client() as client:
        client.submit({"command": ["true"]})
        stamp = wait_for(lambda: [pilot.stamp for pilot in client.pilots()], 30, "a pilot", system.log)[0]
        log = wait_for(lambda: client.pilot_logs(stamp, "boot"), 60, "the boot log", system.log)
    return log.decode()


def test_a_changed_pilot_file_is_refused_and_the_reason_is_read_at_the_central(tmp_path: Path) -> None:
    """When the file that pilots are started from is changed behind the central's back no pilot opens it."""
    with running_system(tmp_path / "central", Plan()) as system:
        for path in [system.folder / "pilot.pyz", *(system.folder / "pilot-files").iterdir()]:
            path.chmod(0o600)
            path.write_bytes(path.read_bytes() + b"changed")
        told = boot_log(system)
        assert told.startswith("pilot ")
        assert "expected SHA-256" in told
        assert "Removed unopened." in told
        assert "could not be had from any URL" in told
        assert system.monitors() == []
