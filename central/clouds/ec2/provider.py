"""EC2 as a provider of machines, on demand and spot.

Driven for real: every verb against moto's server, with faults before it that moto does not have (client tokens, lost
answers, throttling, no capacity, a price too low, lists that lag, spot machines taken back); see `tests/real`. Not
driven: Amazon's own service, so neither its permissions nor its quotas, nor the time it takes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from central.clouds.buying import Quote
from central.clouds.ec2 import machines, quotas, sizes
from central.clouds.ec2.errors import GONE, STARTED
from central.clouds.ec2.launching import launch, subnet_of
from central.clouds.ec2.names import Names
from central.clouds.ec2.prices import PRODUCT, currency, quotes
from central.clouds.ec2.wire import REGION, Answer, Wire
from central.clouds.port import Flavor, Intent, Machine, Named, Price, Quota, Room
from central.clouds.understood import understands
from central.configuration.elements import Cloud
from central.elements.port import ComputingError, Trouble
from wrappers.user_data.clouds import CLOUDS

#: What is asked, in messages.
WHO = "EC2"
#: Seconds for which a machine may be missing from a list: Amazon's word is "eventually", mostly seconds.
LAG = 120.0
#: Machines, and types, of one answer: the most that EC2 gives.
PAGE, PAGE_OF_TYPES = 1000, 100
#: So many times the patience for one request may those of a list take together.
PAGES = 2
#: Things of one list.
MOST = 1_000_000
#: Seconds for which types are as they were.
KEEP = 6 * 3600.0
#: Machines that count.
ALIVE = ({"Name": "instance-state-name", "Values": ["pending", "running"]},)
AMAZON = re.compile(r"\.amazonaws\.com(?:\.cn)?(?:[:/]|$)")
#: Bytes of a console's output.
CONSOLE = 1024 * 1024


def make_ec2(cloud: Cloud, central: str, held: Path) -> Ec2:
    """`central`: the mark of this installation, `held`: the file of the access key."""
    return Ec2(cloud, central, Wire(cloud, held), time.monotonic, time.time)


class Ec2:
    """The machines of one installation in one account and region. `clock`: seconds that only grow, `wall`: seconds
    since the epoch."""

    takes = CLOUDS["ec2"]
    lag = LAG

    def __init__(
        self, cloud: Cloud, central: str, wire: Wire, clock: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        self._cloud = cloud
        self._central = central
        self._wire = wire
        self._clock = clock
        self._wall = wall
        self._names = Names(wire, clock)
        self._ours: set[str] = set()  # ids of machines that were found to bear our mark
        self._deleted: set[str] = set()  # of these, what EC2 may still list
        self._types: tuple[float, Sequence[Flavor]] | None = None

    async def validate(self) -> None:
        await self._wire.ask(lambda client: client.describe_instances(MaxResults=5))

    # -- what there is -----------------------------------------------------------------------------------------------
    @understands(WHO)
    async def images(self) -> Sequence[Named]:
        """The account's own, the newest of each name, and that of the settings: those of others are millions."""
        answer = await self._wire.ask(lambda client: client.describe_images(Owners=["self"]))
        oldest_first = sorted(answer["Images"], key=lambda image: str(image.get("CreationDate", "")))
        newest = {image.get("Name", ""): image["ImageId"] for image in oldest_first}
        own = [Named(id, name) for name, id in newest.items()]
        return [*own, *await self._image_of_the_settings({each.id for each in own} | newest.keys())]

    async def _image_of_the_settings(self, known: Collection[str]) -> Sequence[Named]:
        """None where it is among those that are known, or there is none."""
        image = self._cloud.image
        if image in known:
            return []
        try:
            return [Named((await self._names.found(image, "", ())).image, image)]
        except ComputingError as error:
            if error.trouble is Trouble.REFUSED:
                return []
            raise

    @understands(WHO)
    async def flavors(self) -> Sequence[Flavor]:
        now = self._clock()
        if self._types is None or now - self._types[0] > KEEP:
            told = await self._listed("describe_instance_types", "InstanceTypes", PAGE_OF_TYPES)
            self._types = (now, sizes.flavors(told))
        return self._types[1]

    @understands(WHO)
    async def networks(self) -> Sequence[Named]:
        subnets = await self._listed("describe_subnets", "Subnets", PAGE)
        return [Named(each["SubnetId"], _name(each)) for each in subnets]

    @understands(WHO)
    async def quota(self) -> Quota:
        """Amazon counts cores of the families that the queue's type is of; other clouds count machines. No bound is
        known where none is told, or the access key may not ask for it."""
        try:
            return await (self._quota_of_cores() if self._is_amazon() else self._quota_of_machines())
        except ComputingError as error:
            if error.trouble is Trouble.CREDENTIAL:
                return Quota()
            raise

    def _is_amazon(self) -> bool:
        return not self._cloud.url or AMAZON.search(self._cloud.url) is not None

    async def _quota_of_cores(self) -> Quota:
        told = await self._listed("list_service_quotas", "Quotas", 100, "service-quotas", ServiceCode="ec2")
        found = quotas.of(told, self._cloud.flavor, self._cloud.spot)
        if found is None:
            return Quota()
        most, families = found
        used = sum(
            quotas.cores_of(each)
            for each in await self._instances(ALIVE)
            if quotas.covers(families, each["InstanceType"])
            and (each.get("InstanceLifecycle") == "spot") == self._cloud.spot
        )
        return Quota(cores=Room(used, most))

    async def _quota_of_machines(self) -> Quota:
        asked = {"AttributeNames": ["max-instances"]}
        answer = await self._wire.ask(lambda client: client.describe_account_attributes(**asked))
        most = quotas.machines(answer["AccountAttributes"])
        return Quota(machines=Room(len(await self._instances(ALIVE)), most))

    # -- machines ----------------------------------------------------------------------------------------------------
    @understands(WHO)
    async def create(self, intent: Intent) -> str:
        cloud = self._cloud
        subnet = subnet_of(intent.networks, intent.stamp)
        found = await self._names.found(intent.image, subnet, cloud.security_groups)
        asked = launch(intent, found, cloud, self._central)
        try:
            answer = await self._wire.ask(lambda client: client.run_instances(**asked))
        except Answer as error:
            if error.code in STARTED:
                message = f"a machine of this stamp was started before, with another secret; it is ended ({error})"
                raise ComputingError(message, Trouble.REFUSED) from None
            raise
        (instance,) = answer["Instances"]
        if instance["State"]["Name"] in ("shutting-down", "terminated"):
            raise ComputingError(f"the machine of this stamp, {instance['InstanceId']}, is over", Trouble.REFUSED)
        id: str = instance["InstanceId"]
        return id

    @understands(WHO)
    async def machines(self) -> Sequence[Machine]:
        ours = [{"Name": f"tag:{machines.CENTRAL}", "Values": [self._central]}]
        instances = await self._instances(ours)
        self._ours = {each["InstanceId"] for each in instances}
        self._deleted &= self._ours
        found = (machines.machine(each, self._deleted) for each in instances)
        return [each for each in found if each is not None]

    @understands(WHO)
    async def machine(self, id: str) -> Machine | None:
        instance = await self._instance(id)
        return machines.machine(instance, self._deleted) if instance else None

    @understands(WHO)
    async def delete(self, id: str) -> None:
        if id not in self._ours and await self._instance(id) is None:
            return
        self._deleted.add(id)
        try:
            await self._wire.ask(lambda client: client.terminate_instances(InstanceIds=[id]))
        except Answer as error:
            if error.code not in GONE:
                raise

    @understands(WHO)
    async def console(self, id: str) -> bytes:
        try:
            answer = await self._wire.ask(lambda client: _console(client, id))
        except Answer as error:
            if error.code in GONE:
                return b""
            raise
        text: str = answer.get("Output") or ""
        return text.encode()[-CONSOLE:]

    @understands(WHO)
    async def price(self, flavor: str, spot: bool) -> Price | None:
        """The lowest of the zones now, or that of the queue's zone; EC2's API does not tell prices on demand."""
        if not spot:
            return None
        newest = {quote.zone: quote for quote in await self.history(flavor, 0.0)}
        if not newest:
            return None
        return Price(min(quote.hour for quote in newest.values()), currency(self._cloud.region or REGION))

    @understands(WHO)
    async def history(self, flavor: str, seconds: float) -> Sequence[Quote]:
        """The spot prices of a flavor in so many seconds until now, and the one before in each zone; oldest first."""
        now = datetime.fromtimestamp(self._wall(), UTC)
        asked: dict[str, Any] = {
            "InstanceTypes": [flavor],
            "ProductDescriptions": [PRODUCT],
            "StartTime": now - timedelta(seconds=seconds),
            "EndTime": now,
        }
        if self._cloud.zone:
            asked["AvailabilityZone"] = self._cloud.zone
        return quotes(await self._listed("describe_spot_price_history", "SpotPriceHistory", PAGE, **asked))

    async def close(self) -> None:
        await self._wire.close()

    # -- lists -------------------------------------------------------------------------------------------------------
    async def _instance(self, id: str) -> Mapping[str, Any] | None:
        """One of ours."""
        try:
            answer = await self._wire.ask(lambda client: client.describe_instances(InstanceIds=[id]))
        except Answer as error:
            if error.code in GONE:
                return None
            raise
        return next((each for each in _within(answer["Reservations"]) if machines.is_of(each, self._central)), None)

    async def _instances(self, filters: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        return list(_within(await self._listed("describe_instances", "Reservations", PAGE, Filters=filters)))

    async def _listed(
        self, operation: str, key: str, page: int, service: str = "ec2", **asked: Any
    ) -> Sequence[Mapping[str, Any]]:
        """All that an operation lists under this key, of all its answers."""

        def read(client: Any) -> list[Mapping[str, Any]]:
            found: list[Mapping[str, Any]] = []
            end = self._clock() + self._cloud.patience * PAGES
            for answer in client.get_paginator(operation).paginate(**asked, PaginationConfig={"PageSize": page}):
                found += answer.get(key, ())
                if self._clock() > end or len(found) > MOST:  # nobody waits any more, or it has no end
                    raise ComputingError(f"EC2 has no end of {key}: {len(found)} so far", Trouble.UNREACHABLE)
            return found

        return await self._wire.ask(read, service, PAGES)


def _within(reservations: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for reservation in reservations:
        yield from reservation.get("Instances", ())


def _console(client: Any, id: str) -> Mapping[str, Any]:
    """What it says now, of machines whose hypervisor tells; of others what it said when it was started last."""
    try:
        now: Mapping[str, Any] = client.get_console_output(InstanceId=id, Latest=True)
        return now
    except client.exceptions.ClientError as error:
        if error.response.get("Error", {}).get("Code") not in ("UnsupportedOperation", "InvalidParameterCombination"):
            raise
    then: Mapping[str, Any] = client.get_console_output(InstanceId=id)
    return then


def _name(tagged: Mapping[str, Any]) -> str:
    return next((tag.get("Value", "") for tag in tagged.get("Tags", ()) if tag["Key"] == "Name"), "")
