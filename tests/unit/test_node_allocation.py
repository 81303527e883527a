"""What batch systems say, in the cases that no captured machine shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.configure import decide
from pilot.node import Declared, Discovery
from pilot.node.allocation import Allocation, Said, narrowest
from pilot.node.batch import allocations, features, gridengine, oar, slurm, texts
from pilot.node.hardware import cores, memory, seconds_left
from pilot.node.machine import Machine, System
from pilot.node.outside import COMMAND_SECONDS, FETCH_SECONDS
from pilot.protocol import UNLIMITED, Fact, Settings
from tests.captured import CASES, load

HERE = System(affinity=tuple(range(16)), arch="x86_64", kernel="6.1", host="node1", python="3.9.1")
NOWHERE = Path("/nonexistent")


def machine(environment: Mapping[str, str], printed: Mapping[str, str] | None = None) -> Machine:
    def run(words: Sequence[str]) -> str | None:
        return (printed or {}).get(" ".join(words))

    return Machine(HERE, NOWHERE, environment, run, now=lambda: 1_790_000_000.0)


def short(value: object) -> str:
    """The name of a case, of which some are thousands of digits."""
    return str(value)[:20]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30:00", 1800),
        ("01:00:00", 3600),
        ("2-03", 2 * 86400 + 3 * 3600),
        ("1-01:00:00", 90000),
        ("43:02:47", 154967),
        ("3600", 3600),
        ("UNLIMITED", None),
        ("", None),
        ("1:2:3:4", None),
        ("9" * 5000, None),
        ("9" * 5000 + ":00", None),
    ],
    ids=short,
)
def test_durations_of_batch_systems(text: str, seconds: int | None) -> None:
    """Durations are read as Slurm, PBS and Grid Engine write them."""
    assert texts.seconds(text) == seconds


@pytest.mark.parametrize(
    ("text", "unit", "size"),
    [
        ("4gb", "", 4 * 2**30),
        ("900", "m", 900 * 2**20),
        ("16777216kb", "", 16 * 2**30),
        ("1.5Gbytes", "", 3 * 2**29),
        ("2000M", "", 2000 * 2**20),
        ("-", "", None),
        ("", "m", None),
        ("9" * 400, "", None),
        ("9" * 5000 + "kb", "", None),
    ],
    ids=short,
)
def test_sizes_of_batch_systems(text: str, unit: str, size: int | None) -> None:
    """Sizes are in powers of 1024, with or without a unit."""
    assert texts.size(text, unit) == size


def test_hosts_are_the_same_with_and_without_their_domain() -> None:
    """A batch system may name a host in full where the host names itself in short."""
    assert texts.same_host("node1.example.org", "node1")
    assert not texts.same_host("node10.example.org", "node1")


def test_who_says_less_is_heard() -> None:
    """The smallest number holds; unlimited only where nobody says a number; nothing where nobody says anything."""
    assert narrowest([Said(5, "a"), None, Said(3, "b"), Said(UNLIMITED, "c")]) == Said(3, "b")
    assert narrowest([None, Said(UNLIMITED, "c")]) == Said(UNLIMITED, "c")
    assert narrowest([None]) is None


def test_no_batch_system() -> None:
    """A machine whose environment says nothing is in none."""
    assert allocations(machine({"HOME": "/", "JOB_ID": "5"}), 0.0) == ()


def test_several_systems_bind_together() -> None:
    """HTCondor inside Slurm: each says what it gave, and the narrowest of all holds."""
    given = (
        Allocation("Slurm", "1", "x", cores=Said(8, "Slurm"), memory=Said(10**10, "Slurm")),
        Allocation("HTCondor", "2.0", "y", cores=Said(2, "HTCondor"), memory=Said(2 * 10**10, "HTCondor")),
    )
    assert cores(machine({}), None, given)[0] == Fact("cores", 2, "HTCondor")
    assert memory(machine({}), None, 2, given) == Fact("memory", 10**10, "Slurm")


def test_more_cores_than_there_are_are_not_believed() -> None:
    """A batch system that counts more cores than this process may run on gives what there is."""
    given = (Allocation("Slurm", "1", "x", cores=Said(64, "Slurm")),)
    assert cores(machine({}), None, given)[0].value == 16


def test_a_step_of_slurm_has_its_share() -> None:
    """One of several tasks on a node has its own cores and memory, and not those of the others."""
    environment = {
        "SLURM_JOB_ID": "5",
        "SLURM_STEP_ID": "0",
        "SLURM_NODEID": "2",
        "SLURM_STEP_TASKS_PER_NODE": "2(x2),4",
        "SLURM_CPUS_ON_NODE": "8",
        "SLURM_MEM_PER_NODE": "8000",
    }
    found = slurm.look(machine(environment), 0.0)
    assert found is not None
    assert (found.cores and found.cores.value, found.memory and found.memory.value) == (2, 2000 * 2**20)
    found = slurm.look(machine({**environment, "SLURM_CPUS_PER_TASK": "3"}), 0.0)
    assert found is not None
    assert found.cores is not None
    assert found.cores.value == 3


def test_a_lie_of_slurm_costs_nothing() -> None:
    """A number of nodes that cannot be is counted, and not written out."""
    environment = {
        "SLURM_JOB_ID": "5",
        "SLURM_STEP_ID": "0",
        "SLURM_NODEID": "3",
        "SLURM_STEP_TASKS_PER_NODE": "1(x2),2(x999999999999999)",
        "SLURM_CPUS_ON_NODE": "8",
    }
    found = slurm.look(machine(environment), 0.0)
    assert found is not None
    assert found.cores is not None
    assert found.cores.value == 4


def test_the_whole_node_of_slurm_has_no_limit_of_memory() -> None:
    """--mem=0 asks for all memory of the node, and is not taken for none."""
    found = slurm.look(machine({"SLURM_JOB_ID": "5", "SLURM_CPUS_ON_NODE": "16", "SLURM_MEM_PER_NODE": "0"}), 0.0)
    assert found is not None
    assert found.memory is None


def test_slurm_whose_commands_do_not_answer_is_read_from_the_environment() -> None:
    """Without scontrol the end of the job comes from its variable, where Slurm is new enough to set it."""
    job = {"SLURM_JOB_ID": "5", "SLURM_JOB_END_TIME": "1790003600"}
    found = slurm.look(machine(job), 0.0)
    assert found is not None
    assert found.seconds_left == Said(3600, "Slurm: SLURM_JOB_END_TIME")


@given(began=st.floats(0, 10**6), ran=st.floats(0, 3600))
def test_slurm_promises_no_second_that_is_gone(began: float, ran: float) -> None:
    """Slurm rounds both the start and the moment down: what is left by its word is never more than what really is."""
    minutes, seconds = divmod(int(began + ran) - int(began), 60)
    printed = f"JobId=5 RunTime={minutes // 60:02}:{minutes % 60:02}:{seconds:02} TimeLimit=01:00:00"
    found = slurm.look(machine({"SLURM_JOB_ID": "5"}, {"scontrol -o show job 5": printed}), 0.0)
    assert found is not None
    assert found.seconds_left is not None
    assert isinstance(found.seconds_left.value, int)
    assert found.seconds_left.value <= max(0, 3600 - ran + 1e-6)


def test_a_job_of_several_parts_is_read_by_its_first_line() -> None:
    """scontrol shows each part of a heterogeneous job in a line; ours is the first."""
    assert (
        slurm.parse_job("JobId=5 TimeLimit=01:00:00 Reason=a b\nJobId=6 TimeLimit=02:00:00\n")["TimeLimit"]
        == "01:00:00"
    )


@pytest.mark.parametrize(("task", "left"), [("2", 3000), ("1", 0), ("undefined", 0), ("3", 3600)])
def test_other_tasks_of_an_array_have_not_used_our_time(task: str, left: int) -> None:
    """Grid Engine tells the use of every task of an array; only our own is taken off our limit."""
    printed = """hard resource_list:         h_rt=3600
usage         1:            wallclock=02:00:00, cpu=00:00:00
usage         2:            wallclock=00:10:00, cpu=00:00:00
"""
    found = gridengine.look(machine({"JOB_ID": "7", "SGE_TASK_ID": task}, {"qstat -j 7": printed}), 0.0)
    assert found is not None
    assert found.seconds_left == Said(left, "Grid Engine: h_rt = 3600 of the job")


@pytest.mark.parametrize("began", ["1e999", "9" * 400, "-5", '"soon"', "null"], ids=short)
def test_a_start_that_cannot_be(began: str) -> None:
    """What OAR says of the beginning of a job is believed only where it is a time."""
    assert oar.parse_start(f'{{"7": {{"startTime": {began}}}}}', "7") is None


def test_a_page_is_no_name_of_a_job(tmp_path: Path) -> None:
    """What a place of job features holds beyond a name is not told to anybody."""
    (tmp_path / "job_id").write_text("x" * 100_000)
    told = Machine(HERE, Path("/"), {"JOBFEATURES": str(tmp_path)})
    found = features.look(told, 0.0)
    assert found is not None
    assert len(found.job) == features.MOST


def test_batch_systems_that_do_not_answer_cost_nothing_else() -> None:
    """Whoever asks batch systems has the time for all of their silence: cores, memory and disk are still found."""
    silence = 2 * COMMAND_SECONDS + 9 * FETCH_SECONDS  # Grid Engine's commands, then nine job features
    probes = Discovery(machine({}), NOWHERE, Declared(), 0.0).probes()
    limits = {probe.name: probe.limit or 0.0 for probe in probes if probe.name in ("allocation", "disk", "gpus")}
    assert len(limits) == 3
    assert min(limits.values()) > silence


def test_a_slot_of_htcondor_whose_ad_cannot_be_read_is_not_the_whole_machine() -> None:
    """Then the threads that HTCondor tells programs to use are the cores."""
    given = allocations(machine({"_CONDOR_MACHINE_AD": "/gone", "OMP_NUM_THREADS": "2"}), 0.0)
    assert cores(machine({}), None, given)[0] == Fact("cores", 2, "HTCondor: OMP_NUM_THREADS")


def test_cpu_time_ends_sooner_on_more_cores() -> None:
    """A limit of CPU time is met soonest when all cores are busy, and then binds as wall time."""
    given = (Allocation("PBS", "1", "x", seconds_left=Said(3600, "wall"), cpu_seconds_left=Said(4000, "cput")),)
    assert seconds_left(None, 0.0, given, 1).value == 3600
    assert seconds_left(None, 0.0, given, 4) == Fact("seconds_left", 1000, "cput, of CPU time on 4 cores")


def test_the_queue_and_the_batch_system_bind_together() -> None:
    """Whichever ends first; a queue that is unlimited does not lift the limit of the job."""
    given = (Allocation("Slurm", "1", "x", seconds_left=Said(1800, "Slurm")),)
    assert seconds_left(3600, 600.0, given).value == 1800
    assert seconds_left(2000, 600.0, given).value == 1400
    assert seconds_left(UNLIMITED, 0.0, given).value == 1800


def test_the_margin_is_taken_off_once() -> None:
    """A slot of 3600 s with a margin of 300 s leaves 3300 s at the start, and 2700 s after 600 s."""
    settings = replace(Settings(), margin=300)
    for elapsed, left in ((0.0, 3300), (600.0, 2700)):
        facts = (Fact("cores", 1, "a test"), seconds_left(3600, elapsed))
        assert decide(facts, settings, (), ()).seconds_left == left


def test_nothing_left_is_nothing_and_not_unknown() -> None:
    """A batch system that says 0 s are left is believed; no other word takes its place."""
    given = (Allocation("Slurm", "1", "x", seconds_left=Said(0, "Slurm")),)
    assert seconds_left(3600, 0.0, given).value == 0


def test_a_machine_is_described_alike_wherever_it_runs() -> None:
    """The same machine as a whole node of a batch system and by itself: the same cores, memory, platform."""
    alone, inside = load(CASES / "bare-machine"), load(CASES / "bare-machine")
    job = {"SLURM_JOB_ID": "1", "SLURM_CPUS_ON_NODE": "8", "SLURM_MEM_PER_NODE": "0"}
    inside = replace(inside, machine=replace(inside.machine, environment=job))
    apart = ("batch", "batch_job", "seconds_left")
    told = [[(fact.name, fact.value) for fact in each.facts() if fact.name not in apart] for each in (alone, inside)]
    assert told[0] == told[1]
