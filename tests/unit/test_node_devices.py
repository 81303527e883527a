"""GPUs, the network, the clock, clouds, cgroups and power, in the cases that no captured machine shows."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from commands.context import GpuDevice
from pilot.node import benchmark, clock, cloud, gpus, network, software
from pilot.node.allocation import Allocation, Gpus
from pilot.node.machine import Machine, System
from pilot.node.outside import Request
from pilot.node.power import Node, Power
from pilot.protocol import Fact

HERE = System(affinity=(0, 1), arch="x86_64", kernel="6.1", host="node1", python="3.9.1")
FOUR = tuple(GpuDevice(index, f"GPU-{index}aaaa-bbbb", "T4", 16 * 10**9, "7.5") for index in range(4))


def plain(environment: dict[str, str] | None = None, root: Path = Path("/nonexistent")) -> Machine:
    return Machine(HERE, root, environment or {})


def test_the_gpus_of_a_name() -> None:
    """By number, by UUID or its beginning; as CUDA does it, nothing after an unknown name or the same one again."""

    def indices(*names: str) -> list[int]:
        return [gpu.index for gpu in gpus.chosen(FOUR, Gpus(names, ""))]

    assert indices("2", "GPU-0AAAA") == [2, 0]
    assert indices("1", "7", "2") == [1]
    assert indices("1", "1", "2") == [1]
    assert indices("-1") == indices("NoDevFiles") == indices("10000") == []


def test_what_a_program_is_told_to_use_comes_first() -> None:
    """CUDA_VISIBLE_DEVICES binds, and counts as the driver does here, whatever number the batch system used."""
    given = (Allocation("Slurm", "1", "x", gpus=Gpus(("3",), "SLURM_JOB_GPUS")),)
    told = gpus.assignment(plain({"CUDA_VISIBLE_DEVICES": "0"}), given, whole=False)
    assert told == Gpus(("0",), "CUDA_VISIBLE_DEVICES")
    assert gpus.assignment(plain(), given, whole=True) == Gpus(("3",), "SLURM_JOB_GPUS")


def test_a_job_that_was_given_no_gpu_has_none_unless_the_machine_is_its_own() -> None:
    """A batch system that names no GPU gave none; where every core is ours it merely does not count them."""
    given = (Allocation("Slurm", "1", "x", gpus=Gpus((), "none")),)
    assert gpus.gpus(plain(), lambda: FOUR, given, whole=False)[0].value == 0
    assert gpus.gpus(plain(), lambda: FOUR, given, whole=True)[0].value == 4
    assert gpus.gpus(plain(), lambda: FOUR, (), whole=False)[0].value == 4


def test_odd_lines_of_nvidia_smi_are_passed_over() -> None:
    """What is no line of a GPU says nothing."""
    assert gpus.parse_smi("No devices were found\n") == ()
    assert gpus.parse_smi("0, , A, [Unknown Error], [N/A]\n") == (GpuDevice(0, None, "A"),)


def test_calls_to_the_outside() -> None:
    """One answer is enough; none at all says why; without anybody to call a default route proves nothing."""
    answers = {"a:1": "refused", "b:2": ""}
    assert network.network(plain(), ("a:1", "b:2"), answers.__getitem__)[0] == Fact(
        "tag:outbound", True, "connected to b:2"
    )
    assert network.network(plain(), ("a:1",), answers.__getitem__)[0] == Fact("tag:outbound", False, "a:1: refused")
    assert network.network(plain(), ())[0].value is None
    assert network.network(plain({"https_proxy": "http://p:3128"}), ())[1].value is True


@pytest.mark.parametrize("row", ["eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0", ""])
def test_routes(tmp_path: Path, row: str) -> None:
    """A default route of either family is a way out; without any there is none."""
    place = tmp_path / "proc" / "net"
    place.mkdir(parents=True)
    (place / "route").write_text(f"Iface\tDestination\n{row}\n")
    assert network.has_default_route(plain(root=tmp_path)) is bool(row)
    (place / "ipv6_route").write_text(f"{'0' * 32} 00 {'0' * 32} 00 fe80 00000400 0 0 3 eth0\n")
    assert network.has_default_route(plain(root=tmp_path)) is True


def test_the_clock() -> None:
    """Kept right, by at most so many seconds; by nobody; or nobody tells."""
    assert [fact.value for fact in clock.clock(lambda: (0x2001, 20_000))] == [True, 0.02]
    assert [fact.value for fact in clock.clock(lambda: (0x40, 16_000_000))] == [False, None]
    assert [fact.value for fact in clock.clock(lambda: None)] == [None, None]
    assert clock.kernel() is not None


@dataclass
class Services:
    """Whatever is asked, nobody answers."""

    asked: list[Request] = field(default_factory=list)

    def fetch(self, request: Request) -> str | None:
        self.asked.append(request)
        return None


@pytest.mark.parametrize(("vendor", "asks"), [("QEMU", False), ("Dell Inc.", False), ("Google", True)])
def test_a_metadata_service_is_asked_only_where_there_is_one(tmp_path: Path, vendor: str, asks: bool) -> None:
    """Only a machine whose firmware names a cloud asks; elsewhere the address may swallow packets."""
    tables = tmp_path / "sys/class/dmi/id"
    tables.mkdir(parents=True)
    (tables / "sys_vendor").write_text(f"{vendor}\n")
    (tables / "product_name").write_text("Google Compute Engine\n")
    services = Services()
    facts = cloud.identity(Machine(HERE, tmp_path, fetch=services.fetch))
    assert bool(services.asked) is asks
    assert facts[0].value == ("gce" if asks else "")
    assert facts[1].value is None


def test_a_silent_metadata_service_is_asked_once(tmp_path: Path) -> None:
    """When the first question goes unanswered, no other is asked: each would wait for its own time."""
    tables = tmp_path / "sys/class/dmi/id"
    tables.mkdir(parents=True)
    for vendor, product in (("Google", "Google Compute Engine"), ("Amazon EC2", "m5"), ("x", "OpenStack Nova")):
        (tables / "sys_vendor").write_text(vendor)
        (tables / "product_name").write_text(product)
        services = Services()
        cloud.identity(Machine(HERE, tmp_path, fetch=services.fetch))
        assert len(services.asked) == 1, vendor


def test_control_groups_that_may_be_used() -> None:
    """The controllers of the groups of ours that can be written to, of both versions."""
    case = Path(__file__).parents[1] / "data/nodes/slurm-22-confined/files"
    versions, ours = software.cgroups(plain(root=case), lambda place: place.startswith("/sys/fs/cgroup/cpu"))
    assert versions.value == "v1+v2"
    assert ours.value == "cpu,cpuacct,cpuset"
    assert software.cgroups(plain())[0].value is None


def test_the_benchmark_is_the_same_text_everywhere() -> None:
    """What is compressed is fixed, as the unit of power is a second's worth of it."""
    import hashlib

    assert len(benchmark.text()) == benchmark.SIZE
    assert hashlib.sha256(benchmark.text()).hexdigest() == TEXT
    assert benchmark.score(rounds=1) > 0


TEXT = "6d05d37aa213bbf0770e766e1c4f7b72c1282e5be634c28d69bf0630868224c3"


def test_a_benchmark_that_fails_leaves_power_unknown(tmp_path: Path) -> None:
    """No Python with bzip2, no time, odd output: unknown, and why; nothing is kept."""

    def fail() -> str:
        raise subprocess.TimeoutExpired("python3", 300)

    for run in (fail, lambda: "odd"):
        fact = Power(Node("h", "c"), tmp_path, run).find()
        assert fact.value is None
        assert fact.source.startswith("the benchmark failed: ")
    assert list(tmp_path.iterdir()) == []


KEPT = ("", "[]", '{"host": "h", "cpu": "c", "power": "x"}', '{"host": "z", "cpu": "c", "power": 1}')


@pytest.mark.parametrize("kept", KEPT)
def test_what_an_earlier_pilot_kept_is_not_trusted_blindly(tmp_path: Path, kept: str) -> None:
    """A broken file, or one of another node, is as good as none, and replaced."""
    (tmp_path / "power.json").write_text(kept)
    assert Power(Node("h", "c"), tmp_path, lambda: "2.5\n").find().value == 2.5
    assert json.loads((tmp_path / "power.json").read_text())["power"] == 2.5


def test_no_command_is_run_for_nothing() -> None:
    """Where the driver's library answers, its program is not started."""

    def run(words: Sequence[str]) -> str | None:
        raise AssertionError(words)

    assert gpus.gpus(Machine(HERE, Path("/nonexistent"), run=run), lambda: FOUR, (), whole=True)[0].value == 4


BOOTED = {"v1": {"cloud_name": "aws", "instance_id": "i-1", "region": "eu-1", "availability_zone": "eu-1a"}}


@pytest.mark.parametrize(
    ("told", "values", "asks"),
    [
        (
            {**BOOTED, "ds": {"meta_data": {"instance-type": "m5.large"}}},
            ["ec2", "i-1", "m5.large", "eu-1a", "eu-1"],
            False,
        ),
        (BOOTED, ["ec2", "i-1", None, "eu-1a", "eu-1"], True),
        (
            {
                "v1": {"cloud_name": "openstack", "instance_id": "uuid-1", "availability_zone": "nova", "region": None},
                "ds": {"ec2_metadata": {"instance-type": "m1.large"}},
            },
            ["openstack", "uuid-1", "m1.large", "nova", None],
            False,
        ),
        ({"v1": {"cloud-name": "nocloud", "instance-id": "iid-7"}}, ["nocloud", "iid-7", None, None, None], False),
    ],
)
def test_what_cloud_init_wrote_down_comes_first(
    tmp_path: Path, told: dict[str, object], values: list[str | None], asks: bool
) -> None:
    """Where it says everything, or names no cloud that has a service, nobody is asked; each fact says whence it is."""
    place = tmp_path / "run/cloud-init"
    place.mkdir(parents=True)
    (place / "instance-data.json").write_text(json.dumps(told))
    services = Services()
    facts = cloud.identity(Machine(HERE, tmp_path, fetch=services.fetch))
    assert [fact.name for fact in facts] == list(cloud.NAMES)
    assert [fact.value for fact in facts] == values
    assert bool(services.asked) is asks
    assert facts[1].source == cloud.BOOTED
    assert facts[2].source == ("metadata service of ec2" if asks else cloud.BOOTED)


@pytest.mark.parametrize("text", ["", "[]", '{"v1": 3}', '{"v1": {"cloud_name": "unknown"}}', "[" * 100_000])
def test_what_is_no_word_of_cloud_init_s_leaves_it_to_the_firmware(tmp_path: Path, text: str) -> None:
    """A file that says nothing is as none."""
    place = tmp_path / "run/cloud-init"
    place.mkdir(parents=True)
    (place / "instance-data.json").write_text(text)
    assert cloud.identity(Machine(HERE, tmp_path))[0].source.startswith("the firmware's tables")
