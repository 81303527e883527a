"""Containers of a pilot that is root: users for its slots, and control groups."""

from __future__ import annotations

import os
import pwd
from dataclasses import replace

import pytest

from pilot.attempts.containment import Containment, control_groups
from pilot.payloads.slot_users import users_of
from pilot.protocol import AttemptReport, Credential, Needs
from pilot.states import Outcome
from tests.integration.pool_bench import MB, PoolBench
from tests.pilot_fakes import shell
from tests.real.container_scene import DIRECTORY, FILE, SLOT, in_pilot

pytestmark = pytest.mark.real


needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can start payloads as other users, or enclose them"
)


@needs_root
def test_a_user_per_slot_in_a_container() -> None:
    """Where the pilot is root and has accounts for its slots, a payload in a container is its user, and no other."""

    def act(bench: PoolBench) -> tuple[AttemptReport, str, dict[str, bytes]]:
        inputs = (bench.central.add("mine.sif", FILE.read_bytes()), bench.central.add("in", b"input\n"))
        script = "id -u; cat in; echo out > out; cat $PILOTAGE_JOB_TOKEN_FILE; echo; cat /proc/self/uid_map"
        report = bench.run(1, script, container="mine.sif", inputs=inputs, outputs=["out"])
        return report, bench.printed(1) + bench.printed(1, "stderr"), bench.central.outputs(report)

    uid = str(pwd.getpwnam(SLOT).pw_uid)
    report, printed, outputs = in_pilot("root", act, contain=lambda: Containment(users_of(SLOT)))
    assert report.outcome is Outcome.SUCCESS, (report, printed)
    assert printed.split() == [uid, "input", "token-of-1-1", uid, uid, "1"]
    assert outputs == {"out": b"out\n"}


@needs_root
def test_credentials_in_a_container() -> None:
    """A payload in a container finds its secrets where the variable says; afterwards they are gone."""

    def act(bench: PoolBench) -> tuple[AttemptReport, str, bool]:
        bench.services = bench.pool.services = replace(bench.pool.services, keep_work=True)
        script = 'echo "$PILOTAGE_CREDENTIALS"; cat "$PILOTAGE_CREDENTIALS"/key "$PILOTAGE_CREDENTIALS"/login/password'
        given = (
            Credential("key", "text", {"text": "open sesame\n"}),
            Credential("login", "basic", {"user": "ann", "password": "simsim"}),
        )
        bench.pool.start(replace(shell(1, script, container=str(DIRECTORY)), credentials=given))
        report = bench.central.end_of(1, 60)
        left = (bench.directory(1) / "credentials").exists()
        return report, bench.printed(1) + bench.printed(1, "stderr"), left

    report, printed, left = in_pilot("root", act, contain=lambda: Containment(users_of(SLOT)))
    assert report.outcome is Outcome.SUCCESS, (report, printed)
    assert printed == "/srv/credentials\nopen sesame\nsimsim"
    assert not left


@needs_root
def test_the_kernel_keeps_the_limit_of_the_slot() -> None:
    """In a control group the kernel ends what is in a container at its memory limit, and that is called by its name."""

    def enclosed() -> Containment:
        found = control_groups(f"containers-{os.getpid()}")
        return Containment(enclosures=found.enclosures)

    def act(bench: PoolBench) -> tuple[AttemptReport, bool]:
        there = bench.pool.services.containment.enclosures is not None
        needs = Needs(memory=200 * MB, wall_time=60)
        # All at once: the watchdog, which looks now and then, would come too late.
        script = "head -c 600000000 /dev/zero | tail -c 500000000 | wc -c"
        try:
            return bench.run(1, script, container=str(DIRECTORY), needs=needs), there
        finally:
            bench.pool.services.containment.close()

    report, there = in_pilot("root", act, contain=enclosed)
    if not there:
        pytest.skip("no control groups can be made here")
    assert (report.outcome, report.limit) == (Outcome.LIMIT_EXCEEDED, "memory"), report
