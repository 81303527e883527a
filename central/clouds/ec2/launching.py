"""What RunInstances is asked for one machine: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from central.clouds.ec2.machines import tags
from central.clouds.port import Intent
from central.configuration.elements import Cloud


@dataclass(frozen=True)
class Found:
    """What the names of an intent stand for, as ids."""

    image: str
    subnet: str = ""  # empty: the default of the zone
    groups: Sequence[str] = ()  # security groups; empty: the default of the network
    disks: Sequence[tuple[str, int | None]] = ()  # of the image: the name of each, and its size in GiB


def launch(intent: Intent, found: Found, cloud: Cloud, central: str) -> dict[str, Any]:
    """The arguments. Everything that comes with the machine ends with it, and its own shutdown is its end."""
    kinds = ["instance", "volume", "network-interface", *(["spot-instances-request"] if intent.spot else [])]
    marks = tags(central, intent.queue, intent.stamp)
    asked: dict[str, Any] = {
        "MinCount": 1,
        "MaxCount": 1,
        "ClientToken": intent.stamp,
        "InstanceType": intent.flavor,
        "ImageId": found.image,
        "UserData": intent.user_data,
        "TagSpecifications": [{"ResourceType": kind, "Tags": marks} for kind in kinds],
        "InstanceInitiatedShutdownBehavior": "terminate",
        # Sessions only, and no answer travels beyond the machine itself: not to a bridge of containers.
        "MetadataOptions": {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": 1},
    }
    if found.subnet:
        asked["SubnetId"] = found.subnet
    if found.groups:
        asked["SecurityGroupIds"] = list(found.groups)
    if found.disks:
        asked["BlockDeviceMappings"] = [_disk(name, size) for name, size in found.disks]
    if cloud.zone and not found.subnet:  # a subnet is in a zone
        asked["Placement"] = {"AvailabilityZone": cloud.zone}
    if cloud.key:
        asked["KeyName"] = cloud.key
    if intent.spot:
        asked["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": _spot(intent.most)}
    return asked


def subnet_of(networks: Sequence[str], stamp: str) -> str:
    """Of several subnets, as of several zones, the one for this stamp: always the same, or a second request for a
    machine would differ from the first. Empty: none is named."""
    return networks[int(stamp, 16) % len(networks)] if networks else ""


def _disk(name: str, size: int | None) -> dict[str, Any]:
    """As in the image, but it ends with the machine: with some images it does not."""
    return {"DeviceName": name, "Ebs": {"DeleteOnTermination": True, **({"VolumeSize": size} if size else {})}}


def _spot(most: float | None) -> dict[str, str]:
    options = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
    if most is not None:
        options["MaxPrice"] = f"{most:.6f}".rstrip("0").rstrip(".")
    return options
