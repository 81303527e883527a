"""User-data of virtual machines: what is in it, how each cloud takes it, and what is told of one that cannot work."""

from __future__ import annotations

import base64
import configparser
import gzip
import json
from typing import Any

import pytest
import yaml

from pilot.config import read as read_config
from pilot.errors import InvalidInput
from tests.user_data import BORN, boot
from wrappers.user_data.clouds import CLOUDS, Cloud
from wrappers.user_data.compile import READABLE, cloud_config, compile_user_data, encoded
from wrappers.user_data.lint import problems

PEM = "-----BEGIN CERTIFICATE-----\n" + "MIIB1jCCAXygAwIBAgIUG9pruN06y6vbjuG6\n" * 18 + "-----END CERTIFICATE-----\n"


BOOT, SERVICE = "/var/lib/pilotage/boot.json", "/etc/systemd/system/pilotage.service"
#: What a queue may tell the pilots of its machines.
SETTINGS = {
    "cores": 8,
    "agents": 8,
    "memory": 16 * 10**9,
    "disk": 80 * 10**9,
    "wall_time": 14 * 86_400,
    "tags": ["cvmfs", "avx2"],
    "communities": ["physics", "biology"],
    "slot_users": "20000-20063",
    "resume": True,
    "cache": "/var/cache/pilotage",
    "reach": ["central.example:9618", "storage.example:443"],
    "halting": "elastic",
    "billing_period": 3600,
    "metadata": "refuse",
}


def files(text: str) -> dict[str, dict[str, str]]:
    return {entry["path"]: entry for entry in yaml.safe_load(text)["write_files"]}


@pytest.mark.parametrize("cloud", CLOUDS.values(), ids=CLOUDS)
def test_it_is_small_and_sound_for_every_cloud(cloud: Cloud) -> None:
    """With a certificate authority of its own it takes four thousand bytes at most, and nothing speaks against it."""
    made = compile_user_data(boot({"ca_pem": PEM, "settings": SETTINGS}), cloud)
    assert made.counted <= 4000
    assert made.counted <= cloud.most
    assert problems(made.content, cloud) == []


def test_it_is_the_same_each_time() -> None:
    """The same machine has the same user-data, byte by byte."""
    first, second = (compile_user_data(boot({"ca_pem": PEM}), CLOUDS["ec2"]).content for _ in range(2))
    assert first == second


def test_what_is_small_stays_readable_and_what_is_not_is_unpacked_by_cloud_init() -> None:
    """Compressed only where that pays; where values are text as base64, and said so beside it."""
    text = "#cloud-config\n" + "hostname: a\n" * (READABLE // 10)
    assert encoded("#cloud-config\n", CLOUDS["ec2"]).content == b"#cloud-config\n"
    assert gzip.decompress(encoded(text, CLOUDS["ec2"]).content).decode() == text
    told = encoded(text, CLOUDS["gce"])
    assert gzip.decompress(base64.b64decode(told.content)).decode() == text
    assert told.beside == {"user-data-encoding": "base64"}
    assert encoded(text, CLOUDS["ec2"]).beside == {}
    plain, packed = encoded("#cloud-config\n", CLOUDS["openstack"]), encoded(text, CLOUDS["openstack"])
    assert (plain.counted, packed.counted) == (20, 4 * -(-len(packed.content) // 3))


def test_the_secret_is_below_run_and_nowhere_else() -> None:
    """The one-time secret is in one file that its boot does not outlive, for root alone; so is what else is private."""
    found = files(cloud_config(boot()))
    secret = found.pop("/run/pilotage/secret")
    assert (secret["content"], secret["permissions"]) == ("s" * 43 + "\n", "0600")
    assert all("s" * 43 not in entry["content"] for entry in found.values())
    assert found["/var/lib/pilotage/boot.json"]["permissions"] == "0600"


def test_the_pilot_can_read_its_configuration(tmp_path: Any) -> None:
    """What the stub writes down is a pilot's configuration, with what the queue says and where the secret lies."""
    told = json.loads(files(cloud_config(boot({"ca_pem": PEM})))["/var/lib/pilotage/boot.json"]["content"])
    (tmp_path / "pilot.json").write_text(json.dumps(told["config"]))
    config = read_config(tmp_path / "pilot.json")
    assert (config.stamp, config.site, config.queue, config.cores) == ("a" * 32, "cloud", "large", 8)
    assert str(config.secret_file) == "/run/pilotage/secret"
    assert config.ca == tmp_path / "ca.pem"
    assert config.resume
    assert told["ca"] == PEM


def test_a_machine_has_an_end_by_the_calendar_and_by_its_boot() -> None:
    """The timer names the last moment, which no reboot moves, and so many seconds, for a clock that is wrong."""
    unit = files(cloud_config(boot()))["/etc/systemd/system/pilotage-end.timer"]["content"]
    timer = configparser.ConfigParser()
    timer.read_string(unit)
    assert timer["Timer"]["OnCalendar"] == "2027-01-29 08:00:00 UTC"  # BORN and fourteen days
    assert timer["Timer"]["OnBootSec"] == str(14 * 86_400)
    assert BORN + 14 * 86_400 == 1_801_209_600


def test_it_powers_off_when_its_pilot_has_ended_unless_it_is_to_stay() -> None:
    """However the pilot ends the machine does, also when it ends again and again; one that stays has its timer."""
    service = "/etc/systemd/system/pilotage.service"
    goes, stays = files(cloud_config(boot())), files(cloud_config(boot(stays=True)))
    for word in ("ExecStopPost=", "StartLimitAction=poweroff"):
        assert word in goes[service]["content"]
        assert word not in stays[service]["content"]
    assert "/etc/systemd/system/pilotage-end.timer" in stays


def told(**change: Any) -> dict[str, Any]:
    """What the pilot of a machine is told."""
    config: dict[str, Any] = json.loads(files(cloud_config(boot(**change)))[BOOT]["content"])["config"]
    return config


def test_a_machine_s_pilot_knows_that_it_is_one() -> None:
    """It is told when its machine ends, and to keep payloads from the metadata service; the queue's word stands before
    that of all machines."""
    config = told()
    assert (config["vm"], config["metadata"], config["ends"]) == (True, "guard", int(BORN) + 14 * 86_400)
    assert told(bootstrap={"settings": {"metadata": "refuse", "slot_users": "20000-20063"}})["metadata"] == "refuse"
    assert told(bootstrap={"settings": {"metadata": None, "billing_period": None}}) | {"metadata": "guard"} == told(
        bootstrap={"settings": {}}
    )


@pytest.mark.parametrize(("halting", "off"), [("elastic", True), ("static", True), ("never", False)])
def test_the_queue_s_word_on_halting_is_in_the_unit(halting: str, off: bool) -> None:
    """A machine that never halts does not power off when its pilot has ended; the others do, and nothing speaks
    against any of them."""
    text = cloud_config(boot({"settings": {"halting": halting}}))
    assert ("systemctl --no-block poweroff" in files(text)[SERVICE]["content"]) is off
    assert json.loads(files(text)[BOOT]["content"])["config"]["halting"] == halting
    assert problems(text.encode(), CLOUDS["ec2"]) == []


@pytest.mark.parametrize(
    ("settings", "drop", "said"),
    [
        ({"halting": "sometimes"}, "", "halting: expected one of elastic, static, never, got 'sometimes'"),
        ({"metadata": "shut"}, "", "metadata: expected one of guard, refuse, open, got 'shut'"),
        ({"metadata": "refuse"}, "", "expected slot_users with it"),
        ({"halting": "static", "billing_period": 3600}, "", "billing_period: expected none with halting = static"),
        ({}, "pilotage-end.timer", "pilotage-end.timer: expected it among the files, and to be started"),
    ],
)
def test_what_a_pilot_is_told_goes_with_the_machine(settings: dict[str, Any], drop: str, said: str) -> None:
    """What contradicts itself, or leaves a machine without an end, is told."""
    document = yaml.safe_load(cloud_config(boot({"settings": settings})))
    document["write_files"] = [
        entry for entry in document["write_files"] if not drop or not entry["path"].endswith(drop)
    ]
    found = problems(b"#cloud-config\n" + yaml.safe_dump(document).encode(), CLOUDS["ec2"])
    assert len(found) == 1, found
    assert said in found[0]


def test_one_that_never_halts_and_powers_off() -> None:
    """A unit that does otherwise than its pilot is told is found."""
    text = cloud_config(boot({"settings": {"halting": "static"}})).replace("static", "never")
    [problem] = problems(text.encode(), CLOUDS["ec2"])
    assert "pilotage.service: expected no poweroff" in problem


def test_a_proxy_reaches_the_stub_and_the_pilot() -> None:
    """Machines without a way to the outside find the proxy in both spellings."""
    through = boot({"proxy": "http://proxy.example:3128", "no_proxy": ["central.example"]})
    told = json.loads(files(cloud_config(through))["/var/lib/pilotage/boot.json"]["content"])["environment"]
    assert told["HTTPS_PROXY"] == told["https_proxy"] == "http://proxy.example:3128"
    assert told["NO_PROXY"] == "central.example"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"life": 60}, "life: expected 600 to"),
        ({"secret": "short"}, "secret: expected 16 to 4096"),
        ({"secret": "a\n" * 20}, "secret: expected 16 to 4096"),
        ({"bootstrap": {"sha256": "x"}}, "sha256: expected"),
    ],
)
def test_what_no_machine_can_be_told(change: dict[str, Any], said: str) -> None:
    """Values that could not work are told with their place, and a secret is not repeated."""
    with pytest.raises(InvalidInput, match=said) as caught:
        compile_user_data(boot(**change), CLOUDS["ec2"])
    assert "short" not in str(caught.value)


def test_one_that_a_cloud_would_not_take() -> None:
    """What is too large is refused with the sizes of its parts, before anybody is asked."""
    tiny = Cloud("tiny", "user_data", 1000)
    with pytest.raises(InvalidInput, match=r"at most 1000 bytes for tiny, got \d+; its files: /run/pilotage/secret 44"):
        compile_user_data(boot(), tiny)


FILE = {"path": "/run/secret", "permissions": "0600", "content": "x"}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"runcmds": []}, "runcmds: no module of cloud-init has this key"),
        ({"package_upgrade": True}, "package_upgrade: expected false"),
        ({"write_files": [{**FILE, "path": "/tmp/file"}]}, "expected another folder"),
        ({"write_files": [{**FILE, "owner": "pilot:pilot"}]}, "expected owner root, or `defer: true`"),
        ({"write_files": [{**FILE, "permissions": "0644"}]}, "expected permissions 0600"),
        ({"write_files": [{**FILE, "path": "/etc/secret"}]}, "expected a secret below /run"),
        ({"write_files": [{"path": "relative"}]}, "expected a mapping with an absolute path"),
        ({"write_files": "x"}, "write_files: expected a list"),
        ({"runcmd": [["a"], "b"]}, "runcmd: expected each a list of words, or each a text"),
        ({"runcmd": ["cloud-init status --wait"]}, "it waits for cloud-init, which waits for it"),
        ({"final_message": "-----BEGIN EC PRIVATE KEY-----"}, "a private key is in it, which can be read by every"),
    ],
)
def test_what_makes_a_machine_come_up_wrong(document: dict[str, Any], said: str) -> None:
    """Mistakes that the schema of cloud-init does not find are found, with their place."""
    found = problems(b"#cloud-config\n" + yaml.safe_dump(document).encode(), CLOUDS["ec2"])
    assert len(found) == 1, found
    assert said in found[0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"#!/bin/sh\n", "expected a cloud-config"),
        (b"#cloud-config\n{", "this is not YAML"),
        (b"#cloud-config\n- a\n", "expected a mapping"),
        (b"#cloud-config\nhostname: a", "expected a line's end"),
        (gzip.compress(b"#cloud-config\nhostname: a\n")[:-9], "what is compressed cannot be read"),
        (gzip.compress(b"#cloud-config\n")[:10] + b"\xff" * 20, "what is compressed cannot be read"),
    ],
)
def test_what_is_no_cloud_config(content: bytes, said: str) -> None:
    """Anything else is told in a sentence."""
    [problem] = problems(content, CLOUDS["nocloud"])
    assert said in problem
