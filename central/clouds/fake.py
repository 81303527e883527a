"""A cloud in memory, on a clock that is passed in, that does to its users what real ones do.

    cloud = FakeCloud(clock, random.Random(7), lag=20.0)
    provider = cloud.provider("0123abcd")       # the adapter of one installation; any number share the cloud
    cloud.faults.add(Fault.DELETE_IGNORED)      # from now on
    cloud.odds = 0.5                            # each fault strikes every other time

Without faults it keeps the contract of `port.CloudProvider`. What runs in its machines is not its business: a test or
a bench that simulates pilots looks at `FakeCloud.there`, and has machines power off, reboot and be reclaimed.
Nothing real is driven, and nothing sleeps.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace

from central.clouds.buying import Quote
from central.clouds.fake_machine import FakeMachine
from central.clouds.faults import Fault
from central.clouds.port import Flavor, Intent, Machine, Named, Price, Quota, Room, State
from central.elements.port import ComputingError, Trouble
from wrappers.user_data.clouds import CLOUDS
from wrappers.user_data.clouds import Cloud as Takes

GB = 1_000_000_000
FLAVORS = (
    Flavor("f-1", "small", 1, 2 * GB, 20 * GB),
    Flavor("f-2", "large", 8, 16 * GB, 80 * GB),
)
IMAGES = (Named("i-1", "plain"),)
NETWORKS = (Named("n-1", "public"), Named("n-2", "private"))
#: What an hour of each flavor costs, and of a spot machine of it.
PRICES = {"small": (0.05, 0.02), "large": (0.40, 0.12)}
#: Seconds in which a machine boots, in which one is deleted, and in which one is deleted by a cloud that is slow.
BOOT, DELETION, SLOW_DELETION = 40.0, 5.0, 1800.0
#: Bytes of a console that are handed out.
CONSOLE = 1_000_000
DAY = 86_400.0


class FakeCloud:
    """An account of a cloud: its machines, whoever started them, and what is wrong with it.

    `clock` gives seconds since the epoch; `wait` lets seconds pass while a call hangs. `lag`: seconds for which its
    list lacks what was just started, as it says. `idempotent`: it knows a creation by its stamp.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        rng: random.Random,
        *,
        lag: float = 0.0,
        idempotent: bool = True,
        patience: float = 60.0,
        takes: Takes = CLOUDS["openstack"],
        wait: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        self.clock = clock
        self.rng = rng
        self.lag = lag
        self.idempotent = idempotent
        self.patience = patience
        self.takes = takes
        self.wait = wait
        self.flavors: Sequence[Flavor] = FLAVORS
        self.prices = dict(PRICES)
        self.quotes: dict[str, list[Quote]] = {}  # of the spot market, by flavor, oldest first
        self.most_machines: int | None = None  # the quota
        self.most_cores: int | None = None
        self.faults: set[Fault] = set()
        self.odds = 1.0  # that a fault which is switched on strikes
        self.barred: set[str] = set()  # centrals that it does not take for who they say they are
        self.machines: dict[str, FakeMachine] = {}  # by id, also those that are gone
        self.by_stamp: dict[tuple[str, str], FakeMachine] = {}  # the newest of each central and stamp
        self.deleted: list[tuple[float, str]] = []  # when the deletion of which was asked for, taken or not
        self.calls: Counter[str] = Counter()

    def provider(self, central: str) -> FakeProvider:
        """An adapter of the installation with this mark, which knows nothing of what went before."""
        return FakeProvider(self, central)

    def strikes(self, fault: Fault) -> bool:
        return fault in self.faults and (self.odds >= 1 or self.rng.random() < self.odds)

    def there(self) -> Iterator[FakeMachine]:
        """Those that are not gone."""
        now = self.clock()
        return (machine for machine in list(self.machines.values()) if not machine.is_gone(now))

    def flavor(self, wanted: str) -> Flavor:
        found = next((each for each in self.flavors if wanted in (each.id, each.name)), None)
        if found is None:
            raise ComputingError(f"404: there is no flavor {wanted!r}", Trouble.REFUSED)
        return found

    def price(self, flavor: Flavor, spot: bool) -> float | None:
        """Of an hour, now."""
        quotes = [quote for quote in self.quotes.get(flavor.name, ()) if quote.at <= self.clock()] if spot else []
        if quotes:
            return quotes[-1].hour
        prices = self.prices.get(flavor.name)
        return prices[spot] if prices else None

    def quota(self) -> Quota:
        """Machines count until they are gone, also those that are off."""
        flavors = [self.flavor(machine.intent.flavor) for machine in self.there()]
        return Quota(
            machines=Room(len(flavors), self.most_machines),
            cores=Room(sum(flavor.cores for flavor in flavors), self.most_cores),
            memory=Room(sum(flavor.memory for flavor in flavors)),
        )

    def is_full(self, flavor: Flavor) -> bool:
        """Whether the quota has no room for another of them."""
        return (self.most_machines, self.most_cores) != (None, None) and self.quota().machines_of(flavor) == 0

    # -- what happens to machines -----------------------------------------------------------------------------------
    def start(self, central: str, intent: Intent) -> FakeMachine:
        """A machine, whoever asked for it: also one of a stranger, of another central, or of nobody."""
        now = self.clock()
        machine = FakeMachine(f"m-{len(self.machines) + 1}", central, intent, now, now + BOOT)
        machine.hidden = now + self.lag * (3 if self.strikes(Fault.LIST_LAGS) else 1)
        machine.fails = self.strikes(Fault.BOOT_FAILURE)
        machine.why = "no valid host was found" if machine.fails else ""
        machine.calls = not self.strikes(Fault.NEVER_CALLS)
        machine.skew = self.rng.uniform(-DAY, DAY) if self.strikes(Fault.CLOCK_OFF) else 0.0
        machine.printed = f"machine {machine.id} boots\n".encode()
        self.machines[machine.id] = machine
        self.by_stamp[central, intent.stamp] = machine
        return machine

    def delete(self, machine: FakeMachine) -> None:
        now = self.clock()
        if machine.going is None:
            machine.going = now
            machine.gone = now + (SLOW_DELETION if self.strikes(Fault.DELETE_SLOW) else DELETION)

    def power_off(self, machine: FakeMachine, why: str = "") -> None:
        """As a machine does from within."""
        machine.off, machine.why = self.clock(), why or machine.why

    def reboot(self, machine: FakeMachine) -> None:
        """It comes up again, under its id, with what is on its disk."""
        machine.up, machine.off, machine.boots = self.clock() + BOOT, None, machine.boots + 1

    def reclaim(self, machine: FakeMachine, notice: float = 0.0, stays: bool = True) -> None:
        """Take a spot machine back in so many seconds. It then stays in the list, off, or does not."""
        machine.off = machine.notice = self.clock() + notice
        machine.why = "taken back"
        if not stays:
            machine.gone = machine.off


class FakeProvider:
    """The adapter of one installation to a cloud in memory. Driven for real: nothing, by its nature."""

    def __init__(self, cloud: FakeCloud, central: str) -> None:
        self.cloud = cloud
        self.central = central

    @property
    def takes(self) -> Takes:
        return self.cloud.takes

    @property
    def lag(self) -> float:
        return self.cloud.lag

    async def validate(self) -> None:
        await self._asked("validate")

    async def images(self) -> Sequence[Named]:
        await self._asked("images")
        return IMAGES

    async def flavors(self) -> Sequence[Flavor]:
        await self._asked("flavors")
        return self.cloud.flavors

    async def networks(self) -> Sequence[Named]:
        await self._asked("networks")
        return NETWORKS

    async def quota(self) -> Quota:
        await self._asked("quota")
        return self.cloud.quota()

    async def create(self, intent: Intent) -> str:
        await self._asked("create", lambda: self._create(intent))
        machine = self._create(intent)
        if self.cloud.strikes(Fault.ANSWER_LOST):
            raise ComputingError(f"it has not answered in {self.cloud.patience:g} s", Trouble.UNREACHABLE)
        if self.cloud.strikes(Fault.FAILS_AFTER):
            raise ComputingError("500: the port could not be bound", self.cloud.rng.choice(list(Trouble)))
        return machine.id

    def _create(self, intent: Intent) -> FakeMachine:
        cloud = self.cloud
        flavor = cloud.flavor(intent.flavor)
        for what, wanted, known in (("image", (intent.image,), IMAGES), ("network", intent.networks, NETWORKS)):
            for each in wanted:
                if not any(each in (one.id, one.name) for one in known):
                    raise ComputingError(f"404: there is no {what} {each!r}", Trouble.REFUSED)
        before = cloud.by_stamp.get((self.central, intent.stamp)) if cloud.idempotent else None
        if before and not before.is_gone(cloud.clock()):
            return before
        if cloud.is_full(flavor):
            raise ComputingError("403: the quota is used up", Trouble.FULL)
        hour = cloud.price(flavor, spot=True)
        if intent.spot and intent.most is not None and hour is not None and hour > intent.most:
            raise ComputingError(f"the price of a spot machine is {hour:g}, above {intent.most:g}", Trouble.FULL)
        if cloud.strikes(Fault.NO_CAPACITY):
            raise ComputingError("503: there is no capacity", Trouble.FULL)
        if cloud.strikes(Fault.TWICE):
            cloud.start(self.central, intent)
        return cloud.start(self.central, intent)

    async def machines(self) -> Sequence[Machine]:
        await self._asked("machines")
        cloud, now = self.cloud, self.cloud.clock()
        listed = [self._told(one) for one in self._ours() if one.hidden <= now]
        if cloud.strikes(Fault.LIST_ORDER):
            cloud.rng.shuffle(listed)
        if listed and cloud.strikes(Fault.LIST_INCOMPLETE):
            left_out = set(cloud.rng.sample(range(len(listed)), cloud.rng.randint(1, len(listed))))
            listed = [one for place, one in enumerate(listed) if place not in left_out]
        return listed

    async def machine(self, id: str) -> Machine | None:
        await self._asked("machine")
        found = self._known(id)
        return self._told(found) if found else None

    async def delete(self, id: str) -> None:
        self.cloud.deleted.append((self.cloud.clock(), id))
        await self._asked("delete", lambda: self._delete(id))
        self._delete(id)

    def _delete(self, id: str) -> None:
        cloud, machine = self.cloud, self._known(id)
        if machine is None:
            return
        if machine.going is not None and cloud.strikes(Fault.DELETING_REFUSED):
            raise ComputingError(f"409: machine {id} is in task deleting", Trouble.REFUSED)
        if cloud.strikes(Fault.DELETE_REFUSED):
            raise ComputingError(f"409: machine {id} is locked", Trouble.REFUSED)
        if not cloud.strikes(Fault.DELETE_IGNORED):
            cloud.delete(machine)

    async def console(self, id: str) -> bytes:
        await self._asked("console")
        found = self._known(id)
        return found.printed[-CONSOLE:] if found else b""

    async def price(self, flavor: str, spot: bool) -> Price | None:
        await self._asked("price")
        hour = self.cloud.price(self.cloud.flavor(flavor), spot)
        return None if hour is None else Price(hour, "EUR")

    async def history(self, flavor: str, seconds: float) -> Sequence[Quote]:
        await self._asked("history")
        quotes, now = self.cloud.quotes.get(self.cloud.flavor(flavor).name, []), self.cloud.clock()
        before = [quote for quote in quotes if quote.at < now - seconds]
        held = {quote.zone: quote for quote in before}
        return [*held.values(), *(quote for quote in quotes if now - seconds <= quote.at <= now)]

    async def close(self) -> None:
        pass

    # -- what the cloud knows ---------------------------------------------------------------------------------------
    def _ours(self) -> Iterator[FakeMachine]:
        return (machine for machine in self.cloud.there() if machine.central == self.central)

    def _known(self, id: str) -> FakeMachine | None:
        machine = self.cloud.machines.get(id)
        if machine is None or machine.central != self.central or machine.is_gone(self.cloud.clock()):
            return None
        return machine

    def _told(self, machine: FakeMachine) -> Machine:
        cloud, intent = self.cloud, machine.intent
        told = Machine(
            machine.id,
            intent.stamp,
            intent.queue,
            machine.state(cloud.clock()),
            machine.created + machine.skew,
            cloud.flavor(intent.flavor).name,
            intent.spot,
            machine.why,
        )
        return replace(told, state=cloud.rng.choice(list(State))) if cloud.strikes(Fault.LIES) else told

    async def _asked(self, verb: str, done: Callable[[], object] = lambda: None) -> None:
        """A call arrives. Where it hangs, what was asked may be `done` all the same."""
        cloud = self.cloud
        cloud.calls[verb] += 1
        if self.central in cloud.barred:
            raise ComputingError("401: the credential is not valid", Trouble.CREDENTIAL)
        if cloud.strikes(Fault.ERRORS):
            raise ComputingError("500: an unexpected error prevented the server from it", Trouble.UNREACHABLE)
        if cloud.strikes(Fault.HANGS):
            if cloud.rng.random() < 0.5:
                done()
            if cloud.wait:
                await cloud.wait(cloud.patience)
            raise ComputingError(f"it has not answered in {cloud.patience:g} s", Trouble.UNREACHABLE)
