"""What the names of images, subnets and security groups stand for: read once, and again after a while."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from central.clouds.ec2.launching import Found
from central.clouds.ec2.wire import Wire
from central.elements.port import ComputingError, Trouble

#: Seconds for which a name stands for what it did.
KEEP = 600.0
#: Whose images are found by name: ours, and Amazon's. Anybody may publish one under any name; others are given by id.
OWNERS = ("self", "amazon")
#: A parameter of Systems Manager, which EC2 looks up itself: publishers keep their newest images there.
PARAMETER = "resolve:ssm:"


class Names:
    """Of one account. `clock`: seconds that only grow."""

    def __init__(self, wire: Wire, clock: Callable[[], float]) -> None:
        self._wire = wire
        self._clock = clock
        self._known: dict[tuple[str, ...], tuple[float, Any]] = {}

    async def found(self, image: str, subnet: str, groups: Sequence[str]) -> Found:
        """All that one machine needs. Raises `ComputingError` where there is no such thing."""
        place = await self._kept(("subnet", subnet), lambda: self._subnet(subnet)) if subnet else {}
        disk = await self._kept(("image", image), lambda: self._image(image))
        network = place.get("VpcId", "")
        named = [await self._security_group(group, network) for group in groups]
        return Found(
            image=disk.get("ImageId", image),
            subnet=place.get("SubnetId", ""),
            groups=tuple(named),
            disks=tuple(
                (each["DeviceName"], each["Ebs"].get("VolumeSize"))
                for each in disk.get("BlockDeviceMappings", ())
                if "Ebs" in each
            ),
        )

    async def _kept(self, key: tuple[str, ...], read: Callable[[], Awaitable[Mapping[str, Any]]]) -> Mapping[str, Any]:
        now = self._clock()
        if key not in self._known or now - self._known[key][0] > KEEP:
            self._known[key] = (now, await read())
        found: Mapping[str, Any] = self._known[key][1]
        return found

    async def _image(self, image: str) -> Mapping[str, Any]:
        """Of several of one name the newest."""
        if image.startswith(PARAMETER):
            return {}
        how: dict[str, Any] = (
            {"ImageIds": [image]}
            if image.startswith("ami-")
            else {"Owners": list(OWNERS), "Filters": [{"Name": "name", "Values": [image]}]}
        )
        answer = await self._wire.ask(lambda client: client.describe_images(**how))
        images = sorted(answer["Images"], key=lambda each: str(each.get("CreationDate", "")))
        if not images:
            owners = " or ".join(OWNERS)
            raise _none("an image", image, f"those of others than {owners} are given by id, or as {PARAMETER}/PATH")
        newest: Mapping[str, Any] = images[-1]
        return newest

    async def _subnet(self, subnet: str) -> Mapping[str, Any]:
        by_id = subnet.startswith("subnet-")
        how = {"SubnetIds": [subnet]} if by_id else {"Filters": [{"Name": "tag:Name", "Values": [subnet]}]}
        answer = await self._wire.ask(lambda client: client.describe_subnets(**how))
        return _one(answer["Subnets"], "a subnet", subnet)

    async def _security_group(self, group: str, network: str) -> str:
        if group.startswith("sg-"):
            return group
        id: str = (await self._kept(("group", group, network), lambda: self._group(group, network)))["GroupId"]
        return id

    async def _group(self, group: str, network: str) -> Mapping[str, Any]:
        filters = [{"Name": "group-name", "Values": [group]}]
        if network:
            filters.append({"Name": "vpc-id", "Values": [network]})
        answer = await self._wire.ask(lambda client: client.describe_security_groups(Filters=filters))
        return _one(answer["SecurityGroups"], "a security group", group)


def _one(found: Sequence[Mapping[str, Any]], what: str, name: str) -> Mapping[str, Any]:
    if not found:
        raise _none(what, name, "give its name or its id")
    if len(found) > 1:
        raise ComputingError(f"expected {what} of EC2, got {name!r}, which {len(found)} are called", Trouble.REFUSED)
    return found[0]


def _none(what: str, name: str, remedy: str) -> ComputingError:
    return ComputingError(f"expected {what} of EC2, got {name!r}, and there is none; {remedy}", Trouble.REFUSED)
