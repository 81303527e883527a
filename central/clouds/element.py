"""A cloud as a computing element: one machine for each pilot, started with user-data that makes it one.

Whatever is listed with our mark is ours: machines of this queue, and those of queues that are not there any more, which
would be nobody's else. A machine that is off is as good as ended: it is deleted when its pilot has been closed.
"""

from __future__ import annotations

import asyncio
import math
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from central.clouds.buying import DAY, expected, market
from central.clouds.checking import check, flavor
from central.clouds.port import CloudProvider, Intent, Machine, Price, SpotMarket, State
from central.configuration.elements import Cloud
from central.elements.port import ComputingError, Listed, Standing, Submission, Trouble
from pilot.errors import InvalidInput
from pilot.protocol import Amount
from wrappers.user_data.compile import compile_user_data
from wrappers.user_data.model import RUN, Boot

#: Requests to one cloud at a time, for one queue.
AT_A_TIME = 4
_STANDING = {
    State.BUILDING: Standing.QUEUED,
    State.RUNNING: Standing.RUNNING,
    State.STOPPED: Standing.ENDED,
    State.FAILED: Standing.ENDED,
    State.DELETING: Standing.UNKNOWN,
    State.UNKNOWN: Standing.UNKNOWN,
}


@dataclass(frozen=True)
class Order:
    """What a queue's machines are."""

    queue: str
    cloud: Cloud
    boot: Callable[[str, str], Boot]  # stamp, secret → what the machine is told
    queues: Callable[[], Collection[str]]  # names of all queues in force: machines of others are nobody's


class CloudElement:
    """The machines of one queue in one cloud."""

    def __init__(self, provider: CloudProvider, order: Order) -> None:
        self.provider = provider
        self.order = order
        self._turns = asyncio.Semaphore(AT_A_TIME)

    @property
    def lag(self) -> float:
        return self.provider.lag

    async def submit(self, submissions: Sequence[Submission]) -> Mapping[str, str | ComputingError]:
        """One creation for each: clouds that start many at once give all of them the same user-data, and secret."""
        answers = await asyncio.gather(*map(self._create, submissions))
        return dict(zip((submission.stamp for submission in submissions), answers, strict=True))

    async def _create(self, submission: Submission) -> str | ComputingError:
        order, cloud = self.order, self.order.cloud
        boot = order.boot(submission.stamp, submission.secret)
        try:
            made = compile_user_data(boot, self.provider.takes)
        except InvalidInput as problem:
            return ComputingError(str(problem), Trouble.REFUSED)
        intent = Intent(
            stamp=submission.stamp,
            queue=order.queue,
            flavor=cloud.flavor,
            image=cloud.image,
            user_data=made.content,
            networks=cloud.networks,
            beside=made.beside,
            spot=cloud.spot,
            most=cloud.most,
            life=boot.life,
        )
        async with self._turns:
            try:
                return await self.provider.create(intent)
            except ComputingError as error:
                return error
            except Exception as error:  # noqa: BLE001 an adapter may be anybody's, and what others are told counts
                return _failed(error)

    async def listing(self) -> Sequence[Listed]:
        machines = await self.provider.machines()
        others = set(self.order.queues()) - {self.order.queue}
        return [_listed(machine) for machine in machines if machine.queue not in others]

    async def cancel(self, references: Sequence[str]) -> Mapping[str, ComputingError]:
        found = await asyncio.gather(*map(self._deleted, references))
        return {reference: error for reference, error in zip(references, found, strict=True) if error}

    async def _deleted(self, reference: str) -> ComputingError | None:
        async with self._turns:
            try:
                await self.provider.delete(reference)
            except ComputingError as error:
                return error
            except Exception as error:  # noqa: BLE001 likewise
                return _failed(error)
        return None

    async def output(self, stamp: str, reference: str) -> bytes:
        async with self._turns:
            return await self.provider.console(reference) if reference else b""

    async def forget(self, stamp: str, reference: str) -> None:
        """Delete a machine that is off."""
        if reference and (error := await self._deleted(reference)):
            raise error

    async def capacity(self) -> int | None:
        """How many machines of the flavor the quota has room for."""
        quota, flavors = await asyncio.gather(self.provider.quota(), self.provider.flavors())
        return quota.machines_of(flavor(flavors, self.order.cloud.flavor))

    async def market_hour(self, now: float) -> float | None:
        """What an hour of one spot machine is expected to cost, at a time in seconds since the epoch, by the prices of
        the last day; infinite where there is none for our bid, None where the cloud does not tell."""
        cloud = self.order.cloud
        if not isinstance(self.provider, SpotMarket):
            return None
        bid = math.inf if cloud.most is None else cloud.most
        found = market(await self.provider.history(cloud.flavor, DAY), now, bid)
        hour = expected(found, bid) if found else None
        return math.inf if found and hour is None else hour

    async def price(self) -> Price | None:
        """What an hour of one machine costs now; None: nobody says."""
        return await self.provider.price(self.order.cloud.flavor, self.order.cloud.spot)

    async def check(self, cores: int, memory: Amount) -> str:
        """What the cloud says to all that the settings name. Raises `ComputingError`."""
        return await check(self.provider, self.order.cloud, cores, memory)

    async def close(self) -> None:
        await self.provider.close()

    def secret_file(self, stamp: str) -> str:
        return f"{RUN}/secret"

    def work_base(self, stamp: str) -> str | None:
        return None

    def exit_file(self, stamp: str) -> str | None:
        return None


def _failed(error: Exception) -> ComputingError:
    """What came of it is not known. Its words are not told: there may be user-data in them."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return ComputingError(
        f"the adapter failed: {type(error).__name__} at {Path(where.filename).name}:{where.lineno}", Trouble.UNREACHABLE
    )


def _listed(machine: Machine) -> Listed:
    return Listed(machine.stamp, machine.id, _STANDING[machine.state], None, machine.why or machine.state.value)
