"""The contract of every cloud, for the one in memory; and that each of its faults does what it says."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from central.clouds.conformance import CloudProviderContract, Scene
from central.clouds.fake import FakeCloud
from central.clouds.faults import Fault
from central.clouds.port import CloudProvider
from tests.contract.stores import Clock


class TestFakeCloud(CloudProviderContract):
    """A cloud in memory, whose list lags."""

    @pytest.fixture(scope="class")
    @classmethod
    def scene(cls) -> Scene:
        clock = Clock()
        cloud = FakeCloud(clock, random.Random(1), lag=20.0)

        @contextmanager
        def full() -> Iterator[None]:
            cloud.most_machines = sum(1 for _ in cloud.there())
            yield
            cloud.most_machines = None

        @contextmanager
        def faulty(fault: Fault) -> Iterator[None]:
            cloud.faults.add(fault)
            yield
            cloud.faults.discard(fault)

        def barred() -> CloudProvider:
            cloud.barred.add("nobody")
            return cloud.provider("nobody")

        return Scene(
            cloud.provider,
            "small",
            "plain",
            ("private",),
            patience=60.0,
            pause=1.0,
            unknown="m-0",
            spot=True,
            console=b"boots",
            full=full,
            loses=lambda: faulty(Fault.ANSWER_LOST),
            deaf=lambda: faulty(Fault.HANGS),
            barred=barred,
            power_off=lambda id: cloud.power_off(cloud.machines[id]),
            clock=clock,
            sleep=clock.forward,
        )
