"""The section `[queues.arc]`, and the adapter that is made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from central.configuration.elements import Arc
from central.configuration.in_force import Places
from central.configuration.settings import Queue
from central.configuration.settings_file import InvalidSettings, read
from central.elements.arc.element import ArcElement
from central.elements.kinds import computing_element, request
from central.records import Identity

KNOWN = '[[communities]]\nname = "physics"\ngroups = [{name = "muons"}]\n[[sites]]\nname = "here"\n'
QUEUE = '[[queues]]\nname = "grid"\nsite = "here"\n'
ARC = '[queues.arc]\nurl = "https://arc.example:443/arex"\n'
VAULT = '[queues.credential]\ncommunity = "physics"\nowner = "ops"\nname = "grid"\nkind = "{kind}"\n'


def queue(lines: str, kind: str = "arc") -> Queue:
    [found] = read(f'{KNOWN}{QUEUE}kind = "{kind}"\n{lines}').queues
    return found


def adapter(queue: Queue, url: str = "https://central.example") -> ArcElement:
    found = computing_element(queue, Path("/pilots"), url)
    assert isinstance(found, ArcElement)
    return found


def test_a_queue_on_an_arc() -> None:
    """Where it is, who we are there, and what is said of its jobs."""
    lines = (
        'queue = "main"\nca = "/etc/grid"\nproxy = "/p"\ndelegate = false\nruntime_environments = ["ENV/PROXY"]\n'
        'whole_node = true\nprefix = "pilots"\npatience = "20 s"\n'
    )
    found = queue(f"{ARC}{lines}")
    assert found.arc == Arc(
        "https://arc.example:443/arex", "main", "/etc/grid", "/p", "", False, ("ENV/PROXY",), True, "pilots", 20
    )
    assert request(found).whole_node
    assert adapter(found).door.prefix == "pilots"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "arc: expected it for queues of the kind arc"),
        ('[queues.arc]\nurl = "http://arc.example"\nproxy = "/p"\n', "arc.url: expected https://HOST"),
        ('[queues.arc]\nurl = "https://a@arc.example/"\nproxy = "/p"\n', "arc.url: expected https://HOST"),
        ('[queues.arc]\nproxy = "/p"\n', "arc.url: expected where"),
        (ARC, "arc: expected who we are there"),
        (f'{ARC}proxy = "/p"\ntoken = "/t"\n', "arc.token: expected one of"),
        (f'{ARC}proxy = "/p"\n{VAULT.format(kind="bearer")}', "arc: expected who we are there"),
        (f'{ARC}proxy = "p"\n', "arc.proxy: expected an absolute path"),
        (f'{ARC}token = "/t"\nruntime_environments = ["A B"]\n', "arc.runtime_environments[0]: expected a runtime"),
        (f'{ARC}token = "/t"\nqueue = "-x"\n', "arc.queue: expected a queue's name"),
        (f'{ARC}token = "/t"\ncluster = "x"\n', "arc.cluster"),
    ],
)
def test_what_a_queue_on_an_arc_may_not_say(lines: str, said: str) -> None:
    """It is told with its place."""
    with pytest.raises(InvalidSettings) as raised:
        queue(lines)
    assert f"queues[0].{said}" in str(raised.value)


def test_the_section_is_for_arc_alone() -> None:
    """Another kind has no use for it."""
    with pytest.raises(
        InvalidSettings, match="expected it for queues of the kind arc and no others, and this is local"
    ):
        queue(f'{ARC}token = "/t"\n', kind="local")


def test_neither_two_queues_nor_two_centrals_touch_each_others_jobs() -> None:
    """Each has names of its own, and they stay so."""
    one = queue(f'{ARC}token = "/t"\n')
    prefixes = [adapter(one, url).door.prefix for url in ("https://a", "https://b", "https://a")]
    assert prefixes[0] == prefixes[2] != prefixes[1]
    assert all(prefix.startswith("grid-") for prefix in prefixes)


@pytest.mark.parametrize(
    ("lines", "delegates"),
    [
        (f'{ARC}proxy = "/p"\n', True),
        (f'{ARC}proxy = "/p"\ndelegate = false\n', False),
        (f'{ARC}token = "/t"\n', False),
        (f"{ARC}{VAULT.format(kind='x509-proxy')}", True),
        (f"{ARC}{VAULT.format(kind='bearer')}", False),
    ],
)
def test_what_is_delegated(lines: str, delegates: bool) -> None:
    """A proxy, unless the queue says no; a token is not."""
    assert bool(adapter(queue(lines)).delegations) is delegates


@pytest.mark.parametrize(("lines", "alarms"), [(f'{ARC}token = "/no/such/file"\n', True), (f"{ARC}{VAULT}", False)])
def test_who_sounds_the_alarm(lines: str, alarms: bool) -> None:
    """Of a file the adapter does; a credential of the vault has somebody who does already."""
    assert bool(adapter(queue(lines.format(kind="bearer"))).look()) is alarms


@pytest.mark.parametrize("key", ["proxy", "token"])
def test_files_of_the_host_are_for_its_owner_to_name(key: str) -> None:
    """Who adds a queue through the API cannot have a file of the central sent somewhere."""
    operator = Identity("ada", "physics", "muons", "operator")
    with pytest.raises(InvalidSettings, match=rf"arc\.{key}: expected none"):
        Places(read(KNOWN)).read(f'{QUEUE}kind = "arc"\n{ARC}{key} = "/etc/shadow"\n', operator)
