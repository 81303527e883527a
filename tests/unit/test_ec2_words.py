"""What is asked of EC2, and what its answers mean: the pure parts of its adapter."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from central.clouds.ec2 import machines, quotas, sizes
from central.clouds.ec2.errors import answered
from central.clouds.ec2.launching import Found, launch, subnet_of
from central.clouds.ec2.prices import currency, quotes
from central.clouds.port import Flavor, Intent, State
from central.configuration.elements import Cloud
from central.elements.port import Trouble

STAMP = "00000000000000000000000000000007"
INTENT = Intent(STAMP, "aws", "c5.large", "ami-1", b"#cloud-config\n")
CLOUD = Cloud("c5.large", "ami-1")


def instance(state: str = "running", reason: str = "", **told: Any) -> dict[str, Any]:
    tags = [{"Key": machines.CENTRAL, "Value": "c0ffee01"}, {"Key": machines.STAMP, "Value": STAMP}]
    why = {"StateReason": {"Code": reason, "Message": f"{reason}: words"}} if reason else {}
    return {"InstanceId": "i-1", "State": {"Name": state}, "Tags": tags, **why, **told}


# -- errors -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("code", "status", "trouble"),
    [
        ("InsufficientInstanceCapacity", 500, Trouble.FULL),
        ("VcpuLimitExceeded", 400, Trouble.FULL),
        ("SpotMaxPriceTooLow", 400, Trouble.FULL),
        ("AuthFailure", 401, Trouble.CREDENTIAL),
        ("RequestExpired", 400, Trouble.CREDENTIAL),
        ("RequestLimitExceeded", 503, Trouble.UNREACHABLE),
        ("SomethingNew", 502, Trouble.UNREACHABLE),
        ("SomethingNew", 400, Trouble.REFUSED),
        ("InvalidAMIID.NotFound", 400, Trouble.REFUSED),
    ],
)
def test_the_trouble_of_an_error(code: str, status: int, trouble: Trouble) -> None:
    """A lack of room is told before the status of its answer; codes that are not known go by the status."""
    assert answered(code, "", status).trouble is trouble


def test_words_that_only_the_owner_can_decode_are_left_out() -> None:
    """Of a refused permission the sentence is kept, and not the kilobyte after it."""
    told = str(
        answered("UnauthorizedOperation", f"You are not. Encoded authorization failure message: {'x' * 999}", 403)
    )
    assert told == "EC2 says UnauthorizedOperation: You are not."


# -- machines ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("state", "reason", "seen"),
    [
        ("pending", "", State.BUILDING),
        ("running", "", State.RUNNING),
        ("stopping", "", State.STOPPED),
        ("stopped", "Server.SpotInstanceShutdown", State.STOPPED),
        ("shutting-down", "", State.DELETING),
        ("hibernating", "", State.UNKNOWN),
        ("terminated", "Client.InstanceInitiatedShutdown", State.STOPPED),
        ("terminated", "Server.SpotInstanceTermination", State.FAILED),
        ("terminated", "Client.VolumeLimitExceeded", State.FAILED),
        ("terminated", "", State.FAILED),
    ],
)
def test_the_state_of_a_machine(state: str, reason: str, seen: State) -> None:
    """EC2's words are ours; one that ended without us is told as such, with the reason."""
    found = machines.machine(instance(state, reason))
    assert found
    assert found.state is seen
    assert reason in found.why


def test_a_machine_that_we_ended_is_gone() -> None:
    """EC2 lists what has ended for an hour: what we deleted is gone, and so is what was ended by the API."""
    assert machines.machine(instance("terminated", "Client.UserInitiatedShutdown")) is None
    assert machines.machine(instance("terminated", "Server.SpotInstanceTermination"), {"i-1"}) is None
    shutting = machines.machine(instance("shutting-down"), {"i-1"})
    assert shutting
    assert shutting.state is State.DELETING


def test_what_is_known_of_a_machine() -> None:
    """When it was started, of which type, whether it is spot, where it is; its stamp also where a tag was taken off."""
    then = datetime(2026, 11, 27, tzinfo=UTC)
    more: dict[str, Any] = {
        "LaunchTime": then,
        "InstanceType": "c5.large",
        "InstanceLifecycle": "spot",
        "PrivateIpAddress": "10.0.0.7",
    }
    found = machines.machine(instance(**more, ClientToken="other"))
    assert found
    assert (found.stamp, found.created, found.flavor) == (STAMP, then.timestamp(), "c5.large")
    assert (found.spot, found.address) == (True, "10.0.0.7")
    bare = machines.machine(instance(ClientToken=STAMP) | {"Tags": []})
    assert bare
    assert bare.stamp == STAMP


# -- launching --------------------------------------------------------------------------------------------------------
def test_what_nobody_asked_for_is_left_to_ec2() -> None:
    """Without a network, a zone, a key and groups none are named, and a machine on demand is no spot request."""
    asked = launch(INTENT, Found("ami-1"), CLOUD, "c0ffee01")
    names = {"SubnetId", "SecurityGroupIds", "Placement", "KeyName", "InstanceMarketOptions", "BlockDeviceMappings"}
    assert not names & asked.keys()


def test_a_subnet_says_the_zone() -> None:
    """A zone is asked for where no subnet is: a subnet is in one, and EC2 refuses both together."""
    cloud = replace(CLOUD, zone="eu-west-1a", key="ops")
    assert launch(INTENT, Found("ami-1"), cloud, "c")["Placement"] == {"AvailabilityZone": "eu-west-1a"}
    asked = launch(INTENT, Found("ami-1", "subnet-1", ["sg-1"]), cloud, "c")
    assert "Placement" not in asked
    assert (asked["SubnetId"], asked["SecurityGroupIds"], asked["KeyName"]) == ("subnet-1", ["sg-1"], "ops")


@pytest.mark.parametrize(("most", "told"), [(0.05, "0.05"), (1.0, "1"), (0.0000125, "0.000013"), (None, None)])
def test_the_bid(most: float | None, told: str | None) -> None:
    """The most that is paid is told as EC2 reads it; where nobody says, the price on demand is the bound."""
    options = launch(replace(INTENT, spot=True, most=most), Found("ami-1"), CLOUD, "c")["InstanceMarketOptions"]
    assert options["SpotOptions"].get("MaxPrice") == told
    assert options["SpotOptions"]["InstanceInterruptionBehavior"] == "terminate"


def test_a_stamp_has_one_of_the_subnets() -> None:
    """Machines are spread over the subnets, and one stamp always has the same, so that asking again is the same."""
    networks = ("a", "b", "c")
    assert subnet_of(networks, STAMP) == subnet_of(networks, STAMP) == "b"
    assert {subnet_of(networks, f"{number:032x}") for number in range(9)} == set(networks)
    assert subnet_of((), STAMP) == ""


# -- sizes, quotas, prices --------------------------------------------------------------------------------------------
def test_types_are_flavors() -> None:
    """Cores, memory in bytes, a disk of the machine's own in bytes, GPUs of all kinds together."""
    told = {
        "InstanceType": "g5.xlarge",
        "VCpuInfo": {"DefaultVCpus": 4},
        "MemoryInfo": {"SizeInMiB": 16384},
        "InstanceStorageInfo": {"TotalSizeInGB": 250},
        "GpuInfo": {"Gpus": [{"Count": 1}, {"Count": 2}]},
    }
    small = {"InstanceType": "c5.large", "VCpuInfo": {"DefaultVCpus": 2}, "MemoryInfo": {"SizeInMiB": 4096}}
    assert sizes.flavors([told, small]) == (
        Flavor("c5.large", "c5.large", 2, 4 * 1024**3, None, 0),
        Flavor("g5.xlarge", "g5.xlarge", 4, 16 * 1024**3, 250 * 10**9, 3),
    )


QUOTAS = [
    {"QuotaName": "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", "Value": 32.0},
    {"QuotaName": "Running On-Demand G and VT instances", "Value": 8.0},
    {"QuotaName": "Running On-Demand Inf instances", "Value": 7.0},
    {"QuotaName": "Running On-Demand High Memory instances", "Value": 6.0},
    {"QuotaName": "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests", "Value": 64.0},
    {"QuotaName": "All P4, P3 and P2 Spot Instance Requests", "Value": 16.0},
    {"QuotaName": "All P5 Spot Instance Requests", "Value": 48.0},
    {"QuotaName": "EC2-VPC Elastic IPs", "Value": 5.0},
]


@pytest.mark.parametrize(
    ("flavor", "spot", "most"),
    [
        ("c5.large", False, 32),
        ("m7i-flex.large", False, 32),
        ("g5.xlarge", False, 8),
        ("vt1.3xlarge", False, 8),
        ("inf2.xlarge", False, 7),
        ("i3.large", False, 32),
        ("u-6tb1.metal", False, 6),
        ("c5.large", True, 64),
        ("p4d.24xlarge", True, 16),
        ("p5.48xlarge", True, 48),
        ("g5.xlarge", True, None),
        ("x2iedn.xlarge", False, None),
    ],
)
def test_the_quota_of_a_type(flavor: str, spot: bool, most: int | None) -> None:
    """A quota's name says of which families it is; of those that none is of, no bound is known."""
    found = quotas.of(QUOTAS, flavor, spot)
    assert (found[0] if found else None) == most


def test_the_cores_of_a_machine() -> None:
    """A machine counts its virtual CPUs, and one at the least."""
    assert quotas.cores_of({"CpuOptions": {"CoreCount": 4, "ThreadsPerCore": 2}}) == 8
    assert quotas.cores_of({}) == 1


def test_prices_in_the_order_of_time() -> None:
    """EC2 tells the newest first; prices are in dollars, and in yuan in China."""
    told = [
        {"Timestamp": datetime(2026, 11, 27, 2, tzinfo=UTC), "SpotPrice": "0.031", "AvailabilityZone": "b"},
        {"Timestamp": datetime(2026, 11, 27, 1, tzinfo=UTC), "SpotPrice": "0.029", "AvailabilityZone": "a"},
    ]
    assert [(quote.hour, quote.zone) for quote in quotes(told)] == [(0.029, "a"), (0.031, "b")]
    assert (currency("eu-west-1"), currency("cn-north-1")) == ("USD", "CNY")


@pytest.mark.parametrize("told", ["nan", "inf", "-0.1", "", "free"])
def test_what_is_no_price_says_nothing(told: str) -> None:
    """A cloud that speaks like EC2 may say anything, which would be in all sums from then on."""
    when = datetime(2026, 11, 27, 2, tzinfo=UTC)
    assert quotes([{"Timestamp": when, "SpotPrice": told}]) == ()
