"""The settings file: what is read, and what each mistake says."""

from __future__ import annotations

import pytest

from central.init import Machine, render
from central.settings_file import InvalidSettings, read
from pilot.protocol import UNLIMITED, Gpu, Platform

WHOLE = """
[central]
port = 7000
beat = 0.5
lease = "2 min"

[[communities]]
name = "physics"
share = 3
groups = [{name = "muons", share = 2.0}]

[[communities]]
name = "biology"

[[tokens]]
name = "laptop"
user = "ann"
community = "physics"
group = "muons"
role = "group-admin"
sha256 = "%s"

[[sites]]
name = "here"

[[queues]]
name = "big"
site = "here"
slots = 3
cores = 8
memory = "16 GiB"
disk = "unlimited"
gpus = {count = 2, memory = "40 GB", model = "A100"}
wall_time = "2d"
tags = ["cvmfs"]
required_tags = ["special"]
platform = {arch = "x86_64", microarch = 3, glibc = "2.36"}
lease = "5 min"
idle = "90 s"

[queues.settings]
log_bound = "1 MB"
margin = "1 min"
""" % ("ab" * 32)


def test_every_section_becomes_records() -> None:
    """A whole file is read into records, with units turned into seconds and bytes."""
    settings = read(WHOLE)
    assert settings.service.url == "https://localhost:7000"
    assert (settings.service.beat, settings.service.lease) == (0.5, 120)
    assert settings.communities[0].groups[0].share == 2.0
    assert settings.tokens[0].identity.role == "group-admin"
    (queue,) = settings.queues
    assert queue.memory == 16 * 2**30
    assert queue.communities == ("physics", "biology")
    assert (queue.settings.lease, queue.settings.idle, queue.settings.log_bound) == (300, 90, 10**6)


def test_a_queue_offers_what_it_says() -> None:
    """What director and explain assume of a queue is what its section says; what is not said is unknown."""
    (queue,) = read(WHOLE).queues
    offer = queue.offer()
    assert (offer.cores, offer.disk, offer.seconds_left) == (8, UNLIMITED, 2 * 86400)
    assert offer.gpus == (Gpu("A100", 40 * 10**9),) * 2
    assert offer.platform == Platform("x86_64", 3, (2, 36))
    plain = read('[[sites]]\nname = "s"\n[[communities]]\nname = "c"\n[[queues]]\nname = "q"\nsite = "s"').queues[0]
    assert (plain.offer().memory, plain.offer().seconds_left) == (None, UNLIMITED)


def mistakes(text: str) -> list[str]:
    with pytest.raises(InvalidSettings) as caught:
        read(text)
    return str(caught.value).splitlines()


def test_every_mistake_is_told_with_its_place() -> None:
    """One reading reports all mistakes, each as file, place, what was expected and what was found."""
    found = mistakes(
        WHOLE.replace("slots = 3", "slots = -1").replace('role = "group-admin"', 'role = "king"').replace("7000", '"x"')
    )
    assert len(found) == 3
    assert any(line.startswith("central.toml: queues[0].slots: expected a whole number from 0") for line in found)
    assert any(line.startswith("central.toml: tokens[0].role: expected one of member") for line in found)
    assert any(line.startswith("central.toml: central.port: expected") for line in found)


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("port = 7000", "prot = 7000", "central.prot: unknown key"),
        ("[[sites]]", "[[places]]", "places: unknown key"),
        ("beat = 0.5", "beat = 100", "central.lease: expected at least two heartbeats"),
        ("beat = 0.5", 'url = "http://here"', "central.url: expected an address like https"),
        ('name = "biology"', 'name = "physics"', "communities[1].name: expected something new"),
        ('group = "muons"', 'group = "tau"', "tokens[0].group: expected a declared group of physics"),
        ('sha256 = "ab', 'sha256 = "x', "tokens[0].sha256: expected"),
        ('site = "here"\nslots', 'site = "there"\nslots', "queues[0].site: expected a declared site"),
        ('tags = ["cvmfs"]', "communities = []", "queues[0].communities: expected at least one entry"),
        ('tags = ["cvmfs"]', 'communities = ["art"]', "queues[0].communities: expected declared communities"),
        ('memory = "16 GiB"', 'memory = "much"', "queues[0].memory: expected a size"),
        ("cores = 8", 'cores = 8\nkind = "moon"', "queues[0].kind: expected one of local"),
        ('margin = "1 min"', "margins = 1", "queues[0].settings.margins: unknown key"),
        ("share = 3", "share = 0", "communities[0].share: expected a number above 0"),
    ],
)
def test_a_mistake_names_its_key(old: str, new: str, place: str) -> None:
    """A wrong key, type or value is refused where it stands."""
    assert old in WHOLE
    assert any(line.startswith(f"central.toml: {place}") for line in mistakes(WHOLE.replace(old, new)))


def test_what_is_not_toml_says_so() -> None:
    """A file that cannot be parsed is refused with the parser's position."""
    assert "this is not TOML" in mistakes("[central\n")[0]


def test_the_settings_that_init_writes_are_read() -> None:
    """What `init` writes for a machine is a whole settings file, with one queue that offers this machine."""
    settings = read(render(Machine("ann", 12, 64 * 10**9, 10**12, "aarch64"), 9999))
    assert settings.service.port == 9999
    assert settings.queues[0].offer().cores == 12
    assert settings.queues[0].offer().memory == 64 * 10**9
