"""OpenStack as a cloud, held to the contract of all clouds against a real one with Nova's fake hypervisor."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

from central.clouds.conformance import CloudProviderContract, Scene
from central.clouds.openstack.client import Client
from central.clouds.openstack.connection import Tokens
from central.clouds.openstack.provider import make_openstack
from central.clouds.port import Intent, State
from central.configuration.elements import Cloud
from central.elements.port import ComputingError, Trouble
from tests.real.openstack_scene import FLAVOR, GROUP, IMAGE, IMPOSSIBLE, KEY, NETWORK, Account, Relay, place, relayed
from tests.system import wait_for

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(not place(), reason="needs an OpenStack: tests/real/openstack.sh start"),
]

T = TypeVar("T")


class Ask(Protocol):
    """Asks one thing and waits for it."""

    def __call__(self, asked: Coroutine[Any, Any, T]) -> T: ...


#: Seconds for one call where it is lost on purpose, and where it is not: two cores are busy with other things as well.
SHORT, LONG = 5.0, 180.0


@pytest.fixture(scope="module")
def account() -> Account:
    where = place()
    assert where
    account = Account(where)
    account.clear()
    return account


@pytest.fixture(scope="module")
def held(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("held") / "credential"
    file.write_text(json.dumps(account.credential))
    return file


@pytest.fixture(scope="module")
def relay() -> Iterator[Relay]:
    with relayed() as relay:
        yield relay


@pytest.fixture(scope="module")
def cloud(account: Account) -> Cloud:
    return Cloud(
        flavor=FLAVOR,
        image=IMAGE,
        url=account.url,
        region="Relayed",
        networks=(NETWORK,),
        security_groups=(GROUP,),
        zone="nova",
        key=KEY,
        patience=LONG,
    )


class TestOpenStack(CloudProviderContract):
    @pytest.fixture(scope="class")
    @classmethod
    def scene(cls, account: Account, held: Path, cloud: Cloud, relay: Relay) -> Scene:
        wrong = held.with_name("wrong")
        wrong.write_text(json.dumps({**account.credential, "secret": "not this one"}))

        return Scene(
            fresh=lambda central: make_openstack(cloud, central, held),
            flavor=FLAVOR,
            image=IMAGE,
            networks=(NETWORK,),
            patience=300.0,
            pause=1.0,
            full=account.full,
            loses=relay.loses,
            patience_of_calls=LONG,
            console=b"FAKE CONSOLE OUTPUT",
            barred=lambda: make_openstack(cloud, "0badc0de", wrong),
            power_off=account.power_off,
        )


@pytest.fixture
def ask() -> Iterator[Ask]:
    with asyncio.Runner() as runner:
        yield runner.run


def intent(flavor: str = FLAVOR) -> Intent:
    return Intent(secrets.token_hex(16), "queue-of-tests", flavor, IMAGE, b"#cloud-config\n{}\n", (NETWORK,))


def test_a_nova_that_does_not_answer_stops_nobody(cloud: Cloud, held: Path, relay: Relay, ask: Ask) -> None:
    """Calls are given up in their time, while those to another cloud are answered; when it hears again, so are they."""
    short = make_openstack(replace(cloud, patience=SHORT), "c0ffee02", held)
    other = make_openstack(replace(cloud, region="RegionOne"), "c0ffee02", held)

    async def both() -> tuple[object, object]:
        return tuple(await asyncio.gather(short.machines(), other.machines(), return_exceptions=True))  # type: ignore[return-value]

    with relay.is_deaf():
        lost, found = ask(both())
    assert isinstance(lost, ComputingError)
    assert lost.trouble is Trouble.UNREACHABLE
    assert found == []
    ask(short.close())
    again = make_openstack(cloud, "c0ffee02", held)
    assert ask(again.machines()) == []
    for provider in (other, again):
        ask(provider.close())


def test_a_token_that_was_revoked_is_replaced(account: Account, cloud: Cloud, held: Path, ask: Ask) -> None:
    """Keystone takes it back before its end; when Nova has heard of it, the call is made with a new one."""
    provider = make_openstack(cloud, "c0ffee03", held)
    tokens = Tokens()
    provider._threads.make = lambda: Client(cloud, held, tokens)
    ask(provider.validate())
    [first] = [context.token for context in tokens._contexts.values()]
    account.revoke(first)

    def replaced() -> bool:
        ask(provider.validate())
        return all(context.token != first for context in tokens._contexts.values())

    wait_for(replaced, 10, "the token to be replaced")
    ask(provider.close())


def test_where_no_hypervisor_has_room_the_machine_fails(cloud: Cloud, held: Path, ask: Ask) -> None:
    """Nova takes the creation, and says later that there was no valid host: the machine is there, failed, and goes when
    it is deleted."""
    provider = make_openstack(cloud, "c0ffee04", held)
    id = ask(provider.create(intent(IMPOSSIBLE)))

    def failed() -> bool:
        machine = ask(provider.machine(id))
        return bool(machine and machine.state is State.FAILED and "No valid host" in machine.why)

    wait_for(failed, 60, "the machine to fail")
    [machine] = ask(provider.machines())
    assert (machine.id, machine.state) == (id, State.FAILED)
    assert ask(provider.console(id)) == b""
    ask(provider.delete(id))
    wait_for(lambda: not ask(provider.machines()), 60, "the machine to be gone")
    ask(provider.close())


def test_what_the_queue_says_arrives_at_nova(account: Account, cloud: Cloud, held: Path, ask: Ask) -> None:
    """Security group, key, zone, network and config drive, and the mark."""
    provider = make_openstack(cloud, "c0ffee05", held)
    wanted = intent()
    id = ask(provider.create(wanted))
    server = account.nova("GET", f"/servers/{id}")["server"]
    assert server["name"] == f"pilotage-c0ffee05-{wanted.stamp}"
    assert server["metadata"]["pilotage-stamp"] == wanted.stamp
    assert server["config_drive"] == "True"
    assert server["key_name"] == KEY
    ask(provider.delete(id))
    wait_for(lambda: not ask(provider.machines()), 60, "the machine to be gone")
    ask(provider.close())


@pytest.mark.parametrize("changed", [{"security_groups": ("none",)}, {"key": "none"}, {"zone": "none"}])
def test_what_the_account_does_not_have_is_refused(cloud: Cloud, held: Path, ask: Ask, changed: dict[str, Any]) -> None:
    """Nothing is started, and Nova's words say what there is not."""
    provider = make_openstack(replace(cloud, **changed), "c0ffee06", held)
    with pytest.raises(ComputingError, match="Nova says 400") as caught:
        ask(provider.create(intent()))
    assert caught.value.trouble is Trouble.REFUSED
    assert ask(provider.machines()) == []
    ask(provider.close())


def test_of_several_networks_one_must_be_named(cloud: Cloud, held: Path, ask: Ask) -> None:
    """This project has two, and Nova does not choose."""
    provider = make_openstack(cloud, "c0ffee07", held)
    with pytest.raises(ComputingError, match="Multiple possible networks") as caught:
        ask(provider.create(replace(intent(), networks=())))
    assert caught.value.trouble is Trouble.REFUSED
    ask(provider.close())


def test_the_project_s_quota_is_found_without_limits(account: Account, cloud: Cloud, held: Path) -> None:
    """The id of the project comes from Keystone, and what it may have from its quota set."""
    client = Client(cloud, held, Tokens())
    assert client.project() == account.project
    assert client.get("compute", f"/os-quota-sets/{account.project}/detail")["quota_set"]["cores"]["limit"] > 0
    client.let_go()
