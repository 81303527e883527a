"""EC2 as a provider of machines, against moto's server with the faults of the real one before it."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from central.clouds.conformance import CloudProviderContract, Scene
from central.clouds.ec2.provider import Ec2
from central.clouds.port import Intent, Machine, State
from central.elements.port import ComputingError, Trouble
from tests.real.ec2_scene import FLAVOR, IMAGE, PATIENCE, SUBNET, Account, account, intent, place

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not (place() / "url").is_file(), reason="what this needs is set up by the lane ec2"),
]
T = TypeVar("T")
CENTRAL = "c0ffee01"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with account(tmp_path_factory.mktemp("ec2")) as found:
        yield found


class Asked:
    """A provider, asked one thing after another."""

    def __init__(self, runner: asyncio.Runner, provider: Ec2) -> None:
        self.runner = runner
        self.provider = provider

    def call(self, asked: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(asked)

    def create(self, wanted: Intent) -> str:
        return self.call(self.provider.create(wanted))

    def refused(self, wanted: Intent) -> ComputingError:
        with pytest.raises(ComputingError) as caught:
            self.create(wanted)
        return caught.value

    def find(self, stamp: str) -> Machine | None:
        return next((one for one in self.call(self.provider.machines()) if one.stamp == stamp), None)


@pytest.fixture
def ec2(here: Account) -> Iterator[Asked]:
    with asyncio.Runner() as runner:
        asked = Asked(runner, here.provider(CENTRAL))
        yield asked
        for one in asked.call(asked.provider.machines()):
            asked.call(asked.provider.delete(one.id))
        asked.call(asked.provider.close())


class TestContract(CloudProviderContract):
    """The contract of every cloud."""

    @pytest.fixture(scope="class")
    @classmethod
    def scene(cls, here: Account) -> Scene:
        return Scene(
            fresh=here.provider,
            flavor=FLAVOR,
            image=IMAGE,
            networks=(SUBNET,),
            unknown="i-00000000000000000",
            spot=True,
            full=lambda: here.faulty(refuse={"RunInstances": "VcpuLimitExceeded"}),
            loses=lambda: here.faulty(lose=True),
            deaf=lambda: here.faulty(deaf=True),
            patience_of_calls=3 * PATIENCE + 5,
            barred=lambda: here.provider(CENTRAL, key="AKIANOBODY"),
            power_off=lambda id: here.end(id, "Client.InstanceInitiatedShutdown"),
        )


def test_what_is_asked_for(here: Account, ec2: Asked) -> None:
    """A machine is asked for with its stamp as client token, sessions for its metadata within itself alone, marks on
    all that comes with it, and an end of everything with its shutdown; its user-data is in no URL."""
    wanted = intent(user_data=b"\x1f\x8b\x00not-text", spot=True, most=0.0125)
    ec2.create(wanted)
    asked = here.has()["asked"]["RunInstances"]
    assert asked["ClientToken"] == wanted.stamp
    assert base64.b64decode(asked["UserData"]) == wanted.user_data
    assert asked["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert (asked["MetadataOptions.HttpTokens"], asked["MetadataOptions.HttpPutResponseHopLimit"]) == ("required", "1")
    assert (asked["MinCount"], asked["MaxCount"]) == ("1", "1")
    assert asked["BlockDeviceMapping.1.Ebs.DeleteOnTermination"] == "true"
    spot = "InstanceMarketOptions.SpotOptions."
    assert (asked[f"{spot}MaxPrice"], asked[f"{spot}SpotInstanceType"]) == ("0.0125", "one-time")
    kinds = {asked[f"TagSpecification.{number}.ResourceType"] for number in range(1, 5)}
    assert kinds == {"instance", "volume", "network-interface", "spot-instances-request"}
    assert asked["SubnetId"].startswith("subnet-")
    assert asked["SecurityGroupId.1"].startswith("sg-")
    machine = ec2.find(wanted.stamp)
    assert machine
    assert machine.spot


@pytest.mark.parametrize(
    ("code", "trouble"),
    [
        ("InsufficientInstanceCapacity", Trouble.FULL),
        ("InstanceLimitExceeded", Trouble.FULL),
        ("MaxSpotInstanceCountExceeded", Trouble.FULL),
        ("UnauthorizedOperation", Trouble.CREDENTIAL),
        ("ExpiredToken", Trouble.CREDENTIAL),
        ("InternalError", Trouble.UNREACHABLE),
        ("InvalidParameterValue", Trouble.REFUSED),
    ],
)
def test_what_ec2_says(here: Account, ec2: Asked, code: str, trouble: Trouble) -> None:
    """Each of EC2's errors is the trouble that a director goes by, with EC2's own code in the message."""
    with here.faulty(refuse={"RunInstances": code}):
        error = ec2.refused(intent())
    assert error.trouble is trouble, error
    assert code in str(error)


def test_throttling_that_passes(here: Account, ec2: Asked) -> None:
    """A request that is throttled is asked again; one that always is, is not answered."""
    with here.faulty(throttle=1):
        ec2.call(ec2.provider.machines())
    with here.faulty(throttle=1000):
        error = ec2.refused(intent())
    assert error.trouble is Trouble.UNREACHABLE, error


def test_a_price_that_the_bid_does_not_reach(here: Account, ec2: Asked) -> None:
    """A spot machine that costs more than may be paid is not there for now; at a lower price it is."""
    wanted = intent(spot=True, most=0.05)
    with here.faulty(spot=0.06):
        assert ec2.refused(wanted).trouble is Trouble.FULL
    ec2.create(wanted)


def test_the_same_stamp_with_another_secret(ec2: Asked) -> None:
    """A machine that was started with another secret can never enrol: that stamp is refused, and no second one is
    started."""
    wanted = intent()
    id = ec2.create(wanted)
    error = ec2.refused(intent(stamp=wanted.stamp, user_data=b"#cloud-config\n# another\n"))
    assert error.trouble is Trouble.REFUSED, error
    machine = ec2.find(wanted.stamp)
    assert machine
    assert machine.id == id


def test_a_list_that_lags(here: Account, ec2: Asked) -> None:
    """What is not listed yet is not there for EC2, and is found later: the adapter says for how long that may be so."""
    wanted = intent()
    with here.faulty(lag=1.5):
        id = ec2.create(wanted)
        assert ec2.find(wanted.stamp) is None
        assert ec2.call(ec2.provider.machine(id)) is None
        end = time.monotonic() + 20
        while ec2.find(wanted.stamp) is None:
            assert time.monotonic() < end
            time.sleep(0.1)
    assert ec2.provider.lag >= 60


def test_a_spot_machine_that_is_taken_back(here: Account, ec2: Asked) -> None:
    """A machine that EC2 took back is told with the reason, though it is over, until it is deleted: then it is gone,
    while EC2 lists it still."""
    wanted = intent(spot=True)
    id = ec2.create(wanted)
    here.end(id, "Server.SpotInstanceTermination")
    machine = ec2.find(wanted.stamp)
    assert machine
    assert machine.state is State.FAILED
    assert "SpotInstanceTermination" in machine.why
    ec2.call(ec2.provider.delete(id))
    assert ec2.find(wanted.stamp) is None
    reservations = here.client().describe_instances(InstanceIds=[id])["Reservations"]
    assert reservations[0]["Instances"][0]["State"]["Name"] == "terminated"


def test_more_machines_than_a_page(here: Account, ec2: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """All machines are listed, over as many answers as it takes."""
    monkeypatch.setattr("central.clouds.ec2.provider.PAGE", 5)  # EC2 itself allows no fewer
    stamps = {wanted.stamp for wanted in (intent() for _ in range(12)) if ec2.create(wanted)}
    assert stamps <= {one.stamp for one in ec2.call(ec2.provider.machines())}
    assert "NextToken" in here.has()["asked"]["DescribeInstances"]


def test_spot_prices(here: Account, ec2: Asked) -> None:
    """The price now is that of the cheapest zone; the history has what was in force when it begins."""
    now = time.time()
    told = [[now - 90_000, 0.01, "a"], [now - 3600, 0.03, "a"], [now - 60, 0.02, "a"], [now - 7200, 0.04, "b"]]
    with here.faulty(prices=told):
        price = ec2.call(ec2.provider.price(FLAVOR, True))
        history = ec2.call(ec2.provider.history(FLAVOR, 86400))
        assert ec2.call(ec2.provider.price(FLAVOR, False)) is None
    assert price
    assert (price.hour, price.currency) == (0.02, "USD")
    assert [(quote.hour, quote.zone) for quote in history] == [(0.01, "a"), (0.04, "b"), (0.03, "a"), (0.02, "a")]


def test_a_key_that_was_renewed(here: Account, tmp_path: Path) -> None:
    """A key that is laid anew is used from the next request on."""
    held = Account(here.url, tmp_path)
    file = held.key("AKIANOBODY")
    provider = held.provider(CENTRAL, key="AKIANOBODY")

    async def story() -> None:
        with pytest.raises(ComputingError) as caught:
            await provider.validate()
        assert caught.value.trouble is Trouble.CREDENTIAL
        file.write_bytes(held.key().read_bytes())
        await provider.validate()
        file.unlink()
        with pytest.raises(ComputingError) as caught:
            await provider.validate()
        assert caught.value.trouble is Trouble.CREDENTIAL
        await provider.close()

    asyncio.run(story())


def test_the_image_of_the_settings(here: Account) -> None:
    """Images are those of the account, and the one that the settings name: by name, by id, or as a parameter that EC2
    looks up itself; one that there is not is not told."""
    (own,) = here.client().describe_images(Owners=["self"])["Images"]
    foreign = here.client().describe_images(Owners=["amazon"])["Images"][0]
    parameter = "resolve:ssm:/pilots/image"
    told = {IMAGE: {IMAGE}, own["ImageId"]: {IMAGE}, "no-such": {IMAGE}, parameter: {IMAGE, parameter}}
    told |= {foreign["ImageId"]: {IMAGE, foreign["ImageId"]}, foreign["Name"]: {IMAGE, foreign["Name"]}}

    async def images(image: str) -> set[str]:
        provider = here.provider(CENTRAL, image=image)
        try:
            return {each.name for each in await provider.images()}
        finally:
            await provider.close()

    assert {image: asyncio.run(images(image)) for image in told} == told
