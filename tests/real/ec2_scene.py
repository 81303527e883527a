"""The EC2 of the lane ec2: adapters to it, and what goes wrong there."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import requests

from central.clouds.ec2.provider import Ec2, make_ec2
from central.clouds.port import Intent
from central.configuration.elements import Cloud
from tests.real.ec2_faults import KEY

REGION, FLAVOR, IMAGE, SUBNET, GROUP = "eu-west-1", "t3.micro", "pilot-image", "pilots", "pilots-only"
#: Seconds that one request of the tests may take.
PATIENCE = 8.0


def place() -> Path:
    return Path(os.environ.get("PILOTAGE_EC2", ""))


@dataclass(frozen=True)
class Account:
    """An account of its own region in moto's EC2, with an image, a subnet and a security group. `folder`: for keys."""

    url: str
    folder: Path

    def key(self, name: str = KEY, secret: str = "secret") -> Path:
        """The file of an access key."""
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps({"access_key": name, "secret_key": secret}))
        return file

    @property
    def cloud(self) -> Cloud:
        return Cloud(FLAVOR, IMAGE, self.url, REGION, (SUBNET,), (GROUP,), patience=PATIENCE)

    def provider(self, central: str, *, key: str = KEY, **changed: Any) -> Ec2:
        return make_ec2(replace(self.cloud, **changed), central, self.key(key))

    def client(self) -> Any:
        """Of boto3, as another program of the account has it."""
        keys = {"aws_access_key_id": KEY, "aws_secret_access_key": "secret"}
        return boto3.client("ec2", endpoint_url=self.url, region_name=REGION, **keys)

    def has(self) -> Mapping[str, Any]:
        """What goes wrong now, and what was asked last of each action."""
        told: Mapping[str, Any] = requests.get(f"{self.url}/control", timeout=10).json()
        return told

    def tell(self, **faults: object) -> None:
        requests.post(f"{self.url}/control", json=faults, timeout=10).raise_for_status()

    def end(self, id: str, reason: str) -> None:
        """A machine ends, and not because we have deleted it."""
        requests.post(f"{self.url}/control/end", json={"id": id, "reason": reason}, timeout=10).raise_for_status()

    @contextmanager
    def faulty(self, **faults: object) -> Iterator[None]:
        """So for as long as the context lasts."""
        before = self.has()
        self.tell(**faults)
        try:
            yield
        finally:
            self.tell(**{name: before[name] for name in faults})

    def furnish(self) -> None:
        """Make what machines are started from."""
        client = self.client()
        disks = [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 4}}]
        client.register_image(Name=IMAGE, BlockDeviceMappings=disks, RootDeviceName="/dev/xvda")
        subnet = client.describe_subnets()["Subnets"][0]
        client.create_tags(Resources=[subnet["SubnetId"]], Tags=[{"Key": "Name", "Value": SUBNET}])
        client.create_security_group(GroupName=GROUP, Description="No way in", VpcId=subnet["VpcId"])


def intent(**changed: Any) -> Intent:
    return replace(
        Intent(secrets.token_hex(16), "aws", FLAVOR, IMAGE, b"#cloud-config\n{}\n", networks=(SUBNET,)), **changed
    )


@contextmanager
def account(folder: Path) -> Iterator[Account]:
    found = Account((place() / "url").read_text().strip(), folder)
    requests.post(f"{found.url}/control/reset", timeout=60).raise_for_status()
    found.furnish()
    yield found
