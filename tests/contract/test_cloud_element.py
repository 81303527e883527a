"""A cloud as a computing element, where its adapter does what none should."""

from __future__ import annotations

import random

import pytest

from central.clouds.element import CloudElement, Order
from central.clouds.fake import FakeCloud
from central.clouds.port import Intent
from central.configuration.elements import Cloud
from central.elements.port import ComputingError, Submission, Trouble
from tests.contract.cloud_storm import OURS, lighten
from tests.contract.stores import Clock, stamp
from wrappers.render import Bootstrap
from wrappers.user_data.model import Boot

pytestmark = pytest.mark.anyio
SECRET = "the secret of a machine"


async def test_an_adapter_that_fails_at_one_machine_fails_at_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it raises that is no trouble of a cloud is told of that machine alone, and without its words: they may hold
    what the machine was given."""
    lighten(monkeypatch)
    provider = FakeCloud(Clock(), random.Random(1)).provider(OURS)
    create, delete, broken = provider.create, provider.delete, stamp(1)

    async def created(intent: Intent) -> str:
        if intent.stamp == broken:
            raise KeyError(SECRET)
        return await create(intent)

    async def deleted(id: str) -> None:
        if id == broken:
            raise ValueError(SECRET)
        await delete(id)

    monkeypatch.setattr(provider, "create", created)
    monkeypatch.setattr(provider, "delete", deleted)

    def boot(stamp: str, secret: str) -> Boot:
        start = Bootstrap(stamp, [], "", [], "", "", "here", "cloud")
        return Boot(start, secret, born=0.0, life=3600)

    element = CloudElement(provider, Order("cloud", Cloud("small", "plain"), boot, lambda: ["cloud"]))
    answers = await element.submit([Submission(stamp(number), "", SECRET) for number in (1, 2)])
    failed, id = answers[broken], answers[stamp(2)]
    assert isinstance(failed, ComputingError)
    assert (failed.trouble, SECRET in str(failed), "KeyError" in str(failed)) == (Trouble.UNREACHABLE, False, True)
    assert isinstance(id, str)
    failures = await element.cancel([broken, id])
    assert list(failures) == [broken]
    assert SECRET not in str(failures[broken])
    assert SECRET not in repr(Submission(broken, "", SECRET))
