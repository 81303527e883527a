"""The contract of every cloud, as tests: whoever writes an adapter runs them against the real thing.

    from central.clouds.conformance import CloudProviderContract, Scene

    class TestMine(CloudProviderContract):
        @pytest.fixture(scope="class")
        @classmethod
        def scene(cls) -> Iterator[Scene]:
            yield Scene(fresh=lambda central: Mine(..., central), flavor="small", image="debian-12", patience=120)

Needs pytest. Five machines are started in all, four of them at once; every one of them is deleted in the end. What a
cloud cannot be brought to do (a quota that is used up, an answer that is lost) is left out of the scene, and its test
is skipped with the reason.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from central.clouds.port import CloudProvider, Intent, SpotMarket, State
from central.clouds.trial import OURS, QUEUE, SECRET, THEIRS, Trial
from central.elements.port import ComputingError, Trouble

#: Bytes of a console that an adapter hands out at the most.
CONSOLE_BOUND = 1_048_576
#: Seconds for which nothing else of this process may stand still while a cloud is asked.
STANDSTILL = 1.0
ALIVE = (State.BUILDING, State.RUNNING)

#: Something is so for as long as the context lasts.
While = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Scene:
    """A cloud to be tried.

    `fresh` makes an adapter for the installation with a mark; all share one account, and each knows nothing of what
    went before. Of what may be left out, the tests are skipped.
    """

    fresh: Callable[[str], CloudProvider]
    flavor: str  # this, the image and the networks by name
    image: str
    networks: tuple[str, ...] = ()
    user_data: bytes = b"#cloud-config\n{}\n"
    patience: float = 30.0  # seconds in which a machine runs, in which one is gone, and in which that is listed
    pause: float = 0.2  # seconds between two looks
    unknown: str = "00000000-0000-4000-8000-000000000000"  # an id of the right form that nothing has
    tells: bool = True  # a creation that was asked for before is known by its stamp
    runs: bool = True  # machines do run, in some way
    spot: bool = False  # it has machines that may be taken back
    console: bytes = b""  # what a machine's console has after a while; empty: it may keep none
    full: While | None = None  # the quota is used up
    loses: While | None = None  # the answers to creations do not arrive
    deaf: While | None = None  # nothing is answered
    patience_of_calls: float = 60.0  # seconds after which an adapter gives up a call
    barred: Callable[[], CloudProvider] | None = None  # an adapter with a credential that is not good
    power_off: Callable[[str], object] | None = None  # the machine with this id, from within
    clock: Callable[[], float] = time.monotonic  # this and the next: for clouds in virtual time
    sleep: Callable[[float], object] = time.sleep


class CloudProviderContract:
    """What a cloud's director relies on. A subclass provides the fixture `scene`, of scope "class"."""

    @pytest.fixture(scope="class")
    @classmethod
    def trial(cls, scene: Scene) -> Iterator[Trial]:
        """An adapter, asked as in a story; whatever was started is gone afterwards."""
        intent = Intent("", QUEUE, scene.flavor, scene.image, scene.user_data, scene.networks)
        with Trial(scene.fresh, intent, scene.patience, scene.pause, scene.clock, scene.sleep) as trial:
            yield trial

    @pytest.fixture(scope="class")
    @classmethod
    def living(cls, trial: Trial, scene: Scene) -> Sequence[str]:
        """The stamps of four machines, started at once. All are listed, and run where they can."""
        stamps = trial.start(4)
        wanted = (State.RUNNING,) if scene.runs else ALIVE
        trial.until(
            "all are listed as they should be",
            lambda listed: all(stamp in listed and listed[stamp].state in wanted for stamp in stamps),
        )
        return stamps

    def test_what_it_says_of_itself(self, scene: Scene, trial: Trial) -> None:
        """It takes us for who we say we are, has the flavor, the image and the networks, and nothing of ours yet."""
        provider = trial.provider
        trial.call(provider.validate())
        assert provider.lag >= 0, f"expected seconds, got {provider.lag}"
        assert provider.takes.most > 0, f"expected how it takes user-data, got {provider.takes}"
        flavors = {one.name: one for one in trial.call(provider.flavors())}
        assert scene.flavor in flavors, f"expected the flavor {scene.flavor}, got {sorted(flavors)}"
        assert flavors[scene.flavor].cores > 0, f"got {flavors[scene.flavor]}"
        assert flavors[scene.flavor].memory > 0, f"got {flavors[scene.flavor]}"
        images = {one.name for one in trial.call(provider.images())}
        assert scene.image in images, f"expected the image {scene.image}, got {sorted(images)}"
        networks = {one.name for one in trial.call(provider.networks())}
        assert networks >= set(scene.networks), f"expected the networks {scene.networks}, got {sorted(networks)}"
        assert list(trial.nothing_yet) == [], f"listed before anything was started: {trial.nothing_yet}"

    def test_the_quota_counts_machines(self, scene: Scene, trial: Trial, living: Sequence[str]) -> None:
        """What is used of the quota is told in machines that there is still room for, and ours are among the used."""
        quota = trial.call(trial.provider.quota())
        flavor = next(one for one in trial.call(trial.provider.flavors()) if one.name == scene.flavor)
        room = quota.machines_of(flavor)
        assert room is None or room >= 0, f"expected a number, or None, got {room}"
        if quota.machines.most is not None:
            assert quota.machines.used >= len(living), f"expected at least {len(living)}, got {quota.machines}"

    def test_each_is_listed_by_its_stamp(self, scene: Scene, trial: Trial, living: Sequence[str]) -> None:
        """Machines that were started at once have distinct ids, and are listed once each with stamp, queue and when
        they were created."""
        ids = [trial.ids[stamp] for stamp in living]
        assert all(ids), f"expected an id for each, got {ids}"
        assert len(set(ids)) == len(living), f"expected distinct ids, got {ids}"
        machines = trial.listing()
        assert len({one.stamp for one in machines}) == len(machines), f"expected each stamp once, got {machines}"
        listed = {one.stamp: one for one in machines}
        for stamp in living:
            assert stamp in listed, f"{stamp} is missing in {machines}"
            assert listed[stamp].id == trial.ids[stamp], f"expected the id that was given, got {listed[stamp]}"
            assert listed[stamp].queue == QUEUE, f"expected its queue, got {listed[stamp]}"
            assert listed[stamp].flavor in ("", scene.flavor), f"expected its flavor, got {listed[stamp]}"
            created = listed[stamp].created
            assert created is None or created > 0, f"expected seconds since the epoch, got {listed[stamp]}"

    def test_one_is_asked_for_by_its_id(self, scene: Scene, trial: Trial, living: Sequence[str]) -> None:
        """One machine is told as in the list; of an id that nothing has it is said that there is none."""
        found = trial.call(trial.provider.machine(trial.ids[living[0]]))
        assert found, "expected the machine"
        assert (found.stamp, found.queue) == (living[0], QUEUE), f"got {found}"
        assert found.state in ALIVE, f"got {found}"
        assert trial.call(trial.provider.machine(scene.unknown)) is None

    def test_what_was_started_is_found_after_a_crash(self, trial: Trial, living: Sequence[str]) -> None:
        """An adapter that knows nothing finds what there is, under the ids that were given."""
        with trial.other(OURS) as other:
            found = {one.stamp: one.id for one in trial.call(other.machines())}
        assert found == {**found, **{stamp: trial.ids[stamp] for stamp in living}}, f"expected {trial.ids}, got {found}"

    def test_asking_again_starts_no_second_one(self, scene: Scene, trial: Trial, living: Sequence[str]) -> None:
        """The same stamp once more, by an adapter that knows nothing, is answered with the machine that there is."""
        if not scene.tells:
            pytest.skip("this cloud cannot tell")
        with trial.other(OURS) as other:
            again = trial.call(other.create(replace(trial.intent, stamp=living[0])))
        assert again == trial.ids[living[0]], f"expected {trial.ids[living[0]]}, got {again}"
        stamps = [one.stamp for one in trial.listing()]
        assert stamps.count(living[0]) == 1, f"expected it once, got {stamps}"

    def test_others_are_left_alone(self, scene: Scene, trial: Trial, living: Sequence[str]) -> None:
        """Another installation in the same account sees none of ours, and deletes none, even by its id."""
        id = trial.ids[living[0]]
        with trial.other(THEIRS) as other:
            assert list(trial.call(other.machines())) == []
            assert trial.call(other.machine(id)) is None
            with suppress(ComputingError):
                trial.call(other.delete(id))
        found = trial.call(trial.provider.machine(id))
        assert found, "it is gone"
        assert found.state in ALIVE, f"it was ended: {found}"

    def test_user_data_is_told_to_nobody_here(self, trial: Trial, living: Sequence[str]) -> None:
        """No other process of this host has what is in the user-data in its arguments or its environment."""
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue  # it ended, or is not ours to look at
            assert int(entry.name) == os.getpid() or SECRET.encode() not in told, f"process {entry.name} was told"

    def test_the_console(self, scene: Scene, trial: Trial, living: Sequence[str]) -> None:
        """What a machine wrote to its console can be had, and no more than its last megabyte; of what is unknown there
        is nothing, or an error."""
        end = scene.clock() + scene.patience
        while scene.console not in (console := trial.call(trial.provider.console(trial.ids[living[0]]))):
            assert scene.clock() < end, f"expected {scene.console!r} in it, got {console[-1000:]!r}"
            scene.sleep(scene.pause)
        assert len(console) <= CONSOLE_BOUND, f"expected at most {CONSOLE_BOUND} bytes, got {len(console)}"
        with suppress(ComputingError):
            assert trial.call(trial.provider.console(scene.unknown)) == b""

    @pytest.mark.parametrize("spot", [False, True])
    def test_the_price(self, scene: Scene, trial: Trial, spot: bool) -> None:
        """The price of an hour is a number of a currency, or it is not told; of an unknown flavor it is not."""
        price = trial.call(trial.provider.price(scene.flavor, spot))
        assert price is None or price.hour >= 0, f"expected a price, or None, got {price}"
        assert price is None or price.currency, f"expected its currency, got {price}"
        with suppress(ComputingError):
            assert trial.call(trial.provider.price("no-such-flavor", spot)) is None

    def test_the_prices_until_now(self, scene: Scene, trial: Trial) -> None:
        """Where the cloud tells what spot machines have cost, the prices come oldest first."""
        if not isinstance(trial.provider, SpotMarket):
            pytest.skip("this cloud does not tell what its spot machines have cost")
        quotes = trial.call(trial.provider.history(scene.flavor, 86_400.0))
        assert [quote.at for quote in quotes] == sorted(quote.at for quote in quotes), f"got {quotes}"
        assert all(quote.hour >= 0 for quote in quotes), f"got {quotes}"

    @pytest.mark.parametrize("what", ["flavor", "image", "networks"])
    def test_what_the_cloud_does_not_have_is_refused(self, scene: Scene, trial: Trial, what: str) -> None:
        """A machine of a flavor, an image or a network that there is not is refused for good, and none is there."""
        if what == "networks" and not scene.networks:
            pytest.skip("this cloud has no networks to choose from")
        stamp, unknown = trial.stamp(), "no-such-thing"
        intents = {
            "flavor": replace(trial.intent, flavor=unknown),
            "image": replace(trial.intent, image=unknown),
            "networks": replace(trial.intent, networks=(unknown,)),
        }
        assert trial.refused(replace(intents[what], stamp=stamp)) is Trouble.REFUSED
        assert stamp not in {one.stamp for one in trial.listing()}

    def test_a_quota_that_is_used_up(self, scene: Scene, trial: Trial) -> None:
        """Where there is no room the answer is "full", and no machine is there."""
        if scene.full is None:
            pytest.skip("the quota of this cloud cannot be used up")
        stamp = trial.stamp()
        with scene.full():
            assert trial.refused(replace(trial.intent, stamp=stamp)) is Trouble.FULL
        assert stamp not in {one.stamp for one in trial.listing()}

    def test_a_bad_credential(self, scene: Scene, trial: Trial) -> None:
        """Where the credential is not good, that is what is said: no list is taken for an empty one."""
        if scene.barred is None:
            pytest.skip("this cloud asks for no credential")
        barred = scene.barred()
        try:
            for asked in (barred.validate(), barred.machines()):
                assert trial.trouble(asked) is Trouble.CREDENTIAL
        finally:
            trial.call(barred.close())

    def test_a_lost_answer(self, scene: Scene, trial: Trial) -> None:
        """A machine whose answer was lost is found by its stamp; asking for it again starts no second one."""
        if scene.loses is None:
            pytest.skip("the answers of this cloud cannot be lost")
        intent = replace(trial.intent, stamp=trial.stamp())
        with scene.loses():
            assert trial.refused(intent) is Trouble.UNREACHABLE
        listed = trial.until("it is listed", lambda listed: intent.stamp in listed)
        trial.ids[intent.stamp] = listed[intent.stamp].id
        if scene.tells:
            assert trial.call(trial.provider.create(intent)) == listed[intent.stamp].id
            assert [one.stamp for one in trial.listing()].count(intent.stamp) == 1

    def test_nothing_waits_for_a_cloud_that_does_not_answer(self, scene: Scene, trial: Trial) -> None:
        """Every call is given up after its time, as not answered, and meanwhile nothing else stands still."""
        provider = trial.provider
        with scene.deaf() if scene.deaf else nullcontext():
            calls = [provider.machines, provider.quota, provider.validate]
            for call in calls:
                begun = time.monotonic()
                trouble, still = trial.call(standing_still(call()))
                assert still < STANDSTILL, f"nothing else went on for {still:.1f} s"
                took = time.monotonic() - begun
                assert took < scene.patience_of_calls + 5, f"it took {took:.0f} s"
                assert trouble is (Trouble.UNREACHABLE if scene.deaf else None)

    def test_a_spot_machine(self, scene: Scene, trial: Trial) -> None:
        """A machine that may be taken back is listed as one."""
        if not scene.spot:
            pytest.skip("this cloud has no spot machines")
        (stamp,) = trial.start(1, spot=True)
        listed = trial.until("it is listed", lambda listed: stamp in listed)
        assert listed[stamp].spot, f"got {listed[stamp]}"

    def test_deleting(self, scene: Scene, trial: Trial, living: Sequence[str]) -> None:
        """Deleting ends one machine and no other, also by an adapter that knows nothing; again, or of something
        unknown, it is no error. It is listed until it is gone, and then no adapter has it."""
        first, second = trial.ids[living[2]], trial.ids[living[3]]
        with trial.other(OURS) as other:
            trial.call(other.delete(first))
        trial.until("it is not alive", lambda listed: living[2] not in listed or listed[living[2]].state not in ALIVE)
        for id in (first, scene.unknown, second):
            trial.call(trial.provider.delete(id))
        trial.until("both are gone", lambda listed: not {living[2], living[3]} & listed.keys())
        trial.call(trial.provider.delete(first))
        for id in (first, second):
            assert trial.call(trial.provider.machine(id)) is None
        listed = {one.stamp: one for one in trial.listing()}
        for stamp in living[:2]:
            assert listed[stamp].state in ALIVE, f"it was ended as well: {listed[stamp]}"

    def test_one_that_is_off(self, scene: Scene, trial: Trial, living: Sequence[str]) -> None:
        """A machine that went off by itself is not taken for one that runs, and can be deleted."""
        if scene.power_off is None:
            pytest.skip("machines of this cloud cannot be switched off from within")
        stamp = living[1]
        scene.power_off(trial.ids[stamp])
        trial.until("it is off", lambda listed: stamp not in listed or listed[stamp].state not in ALIVE)
        trial.call(trial.provider.delete(trial.ids[stamp]))
        trial.until("it is gone", lambda listed: stamp not in listed)


async def standing_still(asked: Coroutine[Any, Any, object]) -> tuple[Trouble | None, float]:
    """What an answer's trouble is, and for how many seconds at most nothing else was done while it was waited for."""
    answer = asyncio.ensure_future(asked)
    longest, before = 0.0, time.monotonic()
    while not answer.done():
        await asyncio.wait([answer], timeout=0.02)
        longest, before = max(longest, time.monotonic() - before), time.monotonic()
    error = answer.exception()
    if error is None:
        return None, longest
    if not isinstance(error, ComputingError):
        raise error
    return error.trouble, longest
