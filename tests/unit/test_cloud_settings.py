"""The settings of queues whose pilots are virtual machines."""

from __future__ import annotations

from dataclasses import replace

import pytest

from central.configuration.elements import Cloud, VaultName
from central.configuration.in_force import Places, read_queue
from central.configuration.settings import CentralSettings, Community, Queue, Site
from central.configuration.settings_file import InvalidSettings
from central.records import Identity

SETTINGS = CentralSettings(communities=(Community("atlas"),), sites=(Site("here"),))
OPENSTACK = """
name = "big"
site = "here"
kind = "openstack"
cores = 8
memory = "16 GB"
[cloud]
url = "https://keystone.example.org:5000"
region = "RegionOne"
flavor = "m1.large"
image = "Debian 12 (bookworm)"
networks = ["work", "3d5c6e0e-8f1b-4d4c-9a55-1f0c58f6a111"]
[credential]
community = "atlas"
owner = "ops"
name = "cloud"
kind = "application-credential"
"""


def queue(text: str = OPENSTACK) -> Queue:
    return read_queue(text, SETTINGS)


def problems(text: str) -> str:
    with pytest.raises(InvalidSettings) as refused:
        queue(text)
    return str(refused.value)


def test_a_queue_of_a_cloud() -> None:
    """A cloud, a flavor and a credential make a queue; its machines live two weeks and have half an hour to boot."""
    found = queue()
    assert found.cloud == Cloud(
        flavor="m1.large",
        image="Debian 12 (bookworm)",
        url="https://keystone.example.org:5000",
        region="RegionOne",
        networks=("work", "3d5c6e0e-8f1b-4d4c-9a55-1f0c58f6a111"),
    )
    assert found.credential == VaultName("atlas", "ops", "cloud", "application-credential")
    assert (found.wall_time, found.secret_ttl) == (14 * 86400, 1800)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('flavor = "m1.large"\n', "", "cloud.flavor: expected its name or id"),
        ('image = "Debian 12 (bookworm)"\n', "", "cloud.image: expected its name or id"),
        ("https://keystone", "http://keystone", "cloud.url: expected https"),
        ('url = "https://keystone.example.org:5000"\n', "", "cloud.url: expected where the API of the cloud is"),
        ("application-credential", "bearer", "credential: expected one of the kind application-credential"),
        ("cores = 8", 'cores = 8\nwall_time = "unlimited"', "wall_time: expected how long a machine lives"),
        ("cores = 8", 'cores = 8\nwall_time = "5 min"', "wall_time: expected how long a machine lives"),
        ("cores = 8", 'cores = 8\nwork = "/scratch"', "work: expected none"),
        ('"openstack"', '"slurm"', "cloud: expected it for queues of the kinds ec2, "),
        ('"openstack"', '"nspawn"', "credential: expected none"),
        ('flavor = "m1.large"', 'flavor = "m1; rm"', "cloud.flavor: expected a flavor's name or id"),
        ("region =", "regoin =", "cloud.regoin"),
        ("region =", 'patience = "1 d"\nregion =', "cloud.patience: expected at most 900 s"),
    ],
)
def test_what_a_cloud_cannot_be_asked_is_refused(old: str, new: str, told: str) -> None:
    """Each mistake is named with its place."""
    assert old in OPENSTACK
    assert told in problems(OPENSTACK.replace(old, new))


def test_a_secret_may_go_without_encryption_to_this_host_alone() -> None:
    """A cloud on the loopback address needs no certificate; a host that only begins like it does."""
    here = queue(OPENSTACK.replace("https://keystone.example.org:5000", "http://127.0.0.1:5000"))
    assert here.cloud
    assert here.cloud.url == "http://127.0.0.1:5000"
    assert "expected https" in problems(
        OPENSTACK.replace("https://keystone.example.org:5000", "http://127.0.0.1.example.org:5000")
    )


def test_an_operator_adds_a_cloud_but_no_guests_of_the_host_and_no_files_of_it() -> None:
    """What runs as root on the central's host, and which of its files count, is for the owner of its account to say."""
    places, who = Places(SETTINGS), Identity("ops", "atlas", "", "operator")
    assert places.read(OPENSTACK, who).kind == "openstack"
    with pytest.raises(InvalidSettings, match="which files of the central's host"):
        places.read(OPENSTACK.replace('region = "RegionOne"', 'ca = "/etc/shadow"'), who)
    guests = 'name = "g"\nsite = "here"\nkind = "nspawn"\n[cloud]\nflavor = "small"\nimage = "debian"\n'
    with pytest.raises(InvalidSettings, match="expected another kind"):
        places.read(guests, who)
    with pytest.raises(InvalidSettings, match="one of your own"):
        places.read(OPENSTACK, Identity("eve", "atlas", "", "operator"))


def test_an_operator_has_the_central_ask_nothing_of_its_own_host() -> None:
    """A service on the loopback address, which takes all who are there for friends, is for the host's owner to name."""
    here = OPENSTACK.replace("https://keystone.example.org:5000", "http://127.0.0.1:2375")
    with pytest.raises(InvalidSettings, match=r"cloud\.url: expected https: what is asked on the central's own host"):
        Places(SETTINGS).read(here, Identity("ops", "atlas", "", "operator"))


def test_no_cloud_is_looked_for_where_clouds_tell_secrets() -> None:
    """The address of a metadata service is none of an API."""
    there = OPENSTACK.replace("keystone.example.org:5000", "169.254.169.254")
    assert "where clouds tell secrets" in problems(there)


GUESTS = """
name = "g"
site = "here"
kind = "nspawn"
slot_users = "20000-20063"
[cloud]
flavor = "small"
image = "debian"
networks = ["apart"]
"""


@pytest.mark.parametrize(
    ("old", "new"), [('slot_users = "20000-20063"\n', ""), ('networks = ["apart"]', 'networks = ["host"]')]
)
def test_guests_that_an_operator_adds_are_kept_from_the_host_as_those_of_the_file(old: str, new: str) -> None:
    """Where central.toml has guests of this host, others may be added with the same users and networks alone."""
    places = Places(replace(SETTINGS, queues=(queue(GUESTS.replace('"g"', '"f"')),)))
    who = Identity("ops", "atlas", "", "operator")
    assert places.read(GUESTS.replace("small", "large"), who).name == "g"
    assert old in GUESTS
    with pytest.raises(InvalidSettings, match="as a queue of this kind in central.toml has them"):
        places.read(GUESTS.replace(old, new), who)
