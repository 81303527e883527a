"""What room there is in an account of EC2: asked of Service Quotas at Amazon, and of the account itself elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import pytest

pytest.importorskip("boto3", reason="boto3 is not installed")

from central.clouds.ec2.provider import Ec2
from central.clouds.ec2.wire import Answer, Wire
from central.clouds.port import Quota, Room
from central.configuration.elements import Cloud

STANDARD = {"QuotaName": "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", "Value": 64.0}
SPOT = {"QuotaName": "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests", "Value": 16.0}


def instance(flavor: str, cores: int, spot: bool = False) -> dict[str, Any]:
    life = {"InstanceLifecycle": "spot"} if spot else {}
    return {"InstanceType": flavor, "CpuOptions": {"CoreCount": cores, "ThreadsPerCore": 1}, **life}


RUNNING = [instance("c5.large", 2), instance("m5.xlarge", 4), instance("c5.large", 2, spot=True), instance("p3", 8)]


class Service:
    """A client of boto3 that tells what it was given, or raises it."""

    def __init__(self, **answers: object) -> None:
        self.answers = answers

    def get_paginator(self, operation: str) -> Any:
        return _Pages(self.answers[operation])

    def describe_account_attributes(self, AttributeNames: list[str]) -> object:  # noqa: N803 - boto3's
        return self.answers["describe_account_attributes"]


class _Pages:
    def __init__(self, answer: object) -> None:
        self.answer = answer

    def paginate(self, **asked: object) -> Iterator[object]:
        if isinstance(self.answer, Exception):
            raise self.answer
        yield self.answer


class Asked:
    """In the place of the wire: each service has its own client."""

    def __init__(self, services: Mapping[str, Service]) -> None:
        self.services = services

    async def ask(self, work: Callable[[Any], Any], service: str = "ec2", requests: int = 1) -> Any:
        return work(self.services[service])


def quota(cloud: Cloud, **services: Service) -> Quota:
    known = {name.replace("_", "-"): service for name, service in services.items()}
    provider = Ec2(cloud, "c0ffee01", cast(Wire, Asked(known)), lambda: 0.0, lambda: 0.0)
    return asyncio.run(provider.quota())


def ec2(**more: object) -> Service:
    return Service(describe_instances={"Reservations": [{"Instances": RUNNING}]}, **more)


@pytest.mark.parametrize(
    ("spot", "room"),
    [(False, Room(used=6, most=64)), (True, Room(used=2, most=16))],
)
def test_amazon_counts_cores(spot: bool, room: Room) -> None:
    """Cores of the families of the queue's type and of its market count, also those of machines that are not ours."""
    told = Service(list_service_quotas={"Quotas": [STANDARD, SPOT]})
    cloud = Cloud("c5.large", "ami-1", url="https://ec2.eu-west-1.amazonaws.com", spot=spot)
    assert quota(cloud, ec2=ec2(), service_quotas=told) == Quota(cores=room)


def test_a_key_that_may_not_ask() -> None:
    """Where the key may not ask for quotas no bound is known, which is no trouble; any other trouble is told."""
    denied = Service(list_service_quotas=Answer("AccessDeniedException", "You may not", 400))
    assert quota(Cloud("c5.large", "ami-1"), ec2=ec2(), service_quotas=denied) == Quota()
    broken = Service(list_service_quotas=Answer("InternalFailure", "", 500))
    with pytest.raises(Answer):
        quota(Cloud("c5.large", "ami-1"), ec2=ec2(), service_quotas=broken)


def test_a_type_without_a_quota() -> None:
    """A family that no quota is told of has no bound that is known."""
    told = Service(list_service_quotas={"Quotas": [STANDARD, SPOT]})
    assert quota(Cloud("g5.xlarge", "ami-1"), ec2=ec2(), service_quotas=told) == Quota()


def test_other_clouds_count_machines() -> None:
    """A cloud that only speaks like EC2 says how many machines an account may have."""
    attribute = {"AttributeName": "max-instances", "AttributeValues": [{"AttributeValue": "20"}]}
    cloud = Cloud("c5.large", "ami-1", url="https://cloud.example:8788/")
    told = ec2(describe_account_attributes={"AccountAttributes": [attribute]})
    assert quota(cloud, ec2=told) == Quota(machines=Room(used=4, most=20))
    silent = ec2(describe_account_attributes={"AccountAttributes": []})
    assert quota(cloud, ec2=silent) == Quota(machines=Room(used=4))
