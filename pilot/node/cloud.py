"""In which cloud this machine runs, and as which instance.

What cloud-init has written down at the boot comes first, then the firmware's tables say whose machine it is. Only where
one of them names a cloud is its metadata service asked for what is missing, and then with a bound: elsewhere nobody
would answer, and the address may swallow packets. Written from the clouds' documentation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

from pilot.node.machine import Machine
from pilot.node.outside import Request
from pilot.protocol import Fact

NAMES = ("cloud", "instance", "instance_type", "zone", "region")
#: What cloud-init found out at this boot, for everybody to read.
BOOTED = "/run/cloud-init/instance-data.json"
#: Where it calls a cloud otherwise than we do.
_OURS = {"aws": "ec2", "google": "gce"}
METADATA = "http://169.254.169.254"
_DMI = "/sys/class/dmi/id"
#: Chassis tag of every machine of Azure; the vendor alone is also that of Hyper-V.
_AZURE = "7783-7084-3265-9085-8269-3286-77"


@dataclass(frozen=True)
class Identity:
    """What a cloud says of an instance. What it does not say is None."""

    instance: Optional[str] = None
    type: Optional[str] = None
    zone: Optional[str] = None
    region: Optional[str] = None

    def or_else(self, other: Identity) -> Identity:
        """With what the other says, where this says nothing."""
        return Identity(
            self.instance or other.instance,
            self.type or other.type,
            self.zone or other.zone,
            self.region or other.region,
        )

    def facts(self, sources: Mapping[str, str]) -> tuple[Fact, ...]:
        """`sources`: where each of them comes from."""
        values = (self.instance, self.type, self.zone, self.region)
        return tuple(Fact(name, value, sources[name]) for name, value in zip(NAMES[1:], values))


def identity(machine: Machine) -> tuple[Fact, ...]:
    """The facts `cloud` (empty: none), `instance`, `instance_type`, `zone` and `region`."""
    booted, cloud = at_boot(_object(machine.read(BOOTED)))
    if not cloud:
        return _by_firmware(machine)
    asks = cloud in _ASKED and not (booted.instance and booted.type and booted.zone)
    asked = _ASKED[cloud](machine) if asks else Identity()
    service = f"metadata service of {cloud}" if asks else BOOTED
    known = zip(NAMES[1:], (booted.instance, booted.type, booted.zone, booted.region))
    sources = {name: BOOTED if value else service for name, value in known}
    return (Fact("cloud", cloud, BOOTED), *booted.or_else(asked).facts(sources))


def at_boot(told: Mapping[str, object]) -> tuple[Identity, str]:
    """What cloud-init wrote down, and the cloud's name; empty where it says none."""
    standard, source = told.get("v1"), told.get("ds")
    if not isinstance(standard, dict):
        return Identity(), ""
    name = _word(standard.get("cloud_name")) or _word(standard.get("cloud-name")) or ""
    found = Identity(
        _word(standard.get("instance_id")) or _word(standard.get("instance-id")),
        _type(source if isinstance(source, dict) else {}),
        _word(standard.get("availability_zone")) or _word(standard.get("availability-zone")),
        _word(standard.get("region")),
    )
    return found, _OURS.get(name, "" if name == "unknown" else name)


def _type(source: Mapping[str, object]) -> Optional[str]:
    """The kind of machine, which each of cloud-init's data sources keeps at a place of its own."""
    for place in ("meta_data", "ec2_metadata"):
        about = source.get(place)
        for key in ("instance-type", "instance_type"):
            kind = _word(about.get(key)) if isinstance(about, dict) else None
            if kind:
                return kind
    return None


def _by_firmware(machine: Machine) -> tuple[Fact, ...]:
    vendor, product = _dmi(machine, "sys_vendor"), _dmi(machine, "product_name")
    if vendor is None and product is None:
        return tuple(Fact(name, None, f"the firmware's tables in {_DMI} cannot be read") for name in NAMES)
    source = f"firmware: {vendor or 'no vendor'}, {product or 'no product'}"
    cloud = name(vendor or "", product or "", _dmi(machine, "chassis_asset_tag") or "", _dmi(machine, "bios_version"))
    if not cloud:
        return (Fact("cloud", "", source), *(Fact(each, None, "no cloud") for each in NAMES[1:]))
    found = _ASKED[cloud](machine)
    asked = f"metadata service of {cloud}"
    sources = dict.fromkeys(NAMES[1:], asked)
    if not found.instance:
        sources["instance"] = f"the {asked} does not answer"
    return (Fact("cloud", cloud, source), *found.facts(sources))


def name(vendor: str, product: str, chassis: str, bios: Optional[str] = None) -> str:
    """The cloud whose machines have such tables, empty for none that is known here."""
    if vendor == "Amazon EC2" or (vendor == "Xen" and "amazon" in (bios or "")):
        return "ec2"
    if vendor == "Google" and product == "Google Compute Engine":
        return "gce"
    if vendor == "Microsoft Corporation" and chassis == _AZURE:
        return "azure"
    if product.startswith(("OpenStack Nova", "OpenStack Compute")) or chassis.startswith("OpenStack"):
        return "openstack"
    return ""


def _dmi(machine: Machine, name: str) -> Optional[str]:
    text = machine.read(f"{_DMI}/{name}")
    return text.strip() if text is not None else None


def _openstack(machine: Machine) -> Identity:
    told = _object(machine.fetch(Request(f"{METADATA}/openstack/latest/meta_data.json")))
    kind = machine.fetch(Request(f"{METADATA}/latest/meta-data/instance-type")) if told else None
    return Identity(_word(told.get("uuid")), _word(kind), _word(told.get("availability_zone")))


def _ec2(machine: Machine) -> Identity:
    """With a session token, which all instances accept and many demand."""
    ask = Request(f"{METADATA}/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, "PUT")
    token = machine.fetch(ask)
    if token is None:
        # The firmware of current instances names them.
        tag = _dmi(machine, "board_asset_tag") or ""
        return Identity(tag if tag.startswith("i-") else None)
    headers = {"X-aws-ec2-metadata-token": token.strip()}
    document = f"{METADATA}/latest/dynamic/instance-identity/document"
    told = _object(machine.fetch(Request(document, headers)))
    return Identity(*(_word(told.get(key)) for key in ("instanceId", "instanceType", "availabilityZone", "region")))


def _gce(machine: Machine) -> Identity:
    address = f"{METADATA}/computeMetadata/v1/instance"

    def ask(what: str) -> Optional[str]:
        return _word(machine.fetch(Request(f"{address}/{what}", {"Metadata-Flavor": "Google"})))

    instance = ask("id")
    if instance is None:
        return Identity()
    kind, zone = ask("machine-type"), ask("zone")  # as projects/123/zones/europe-west1-b
    short = zone and zone.rpartition("/")[2]
    return Identity(instance, kind and kind.rpartition("/")[2], short, short and short.rpartition("-")[0])


def _azure(machine: Machine) -> Identity:
    address = f"{METADATA}/metadata/instance/compute?api-version=2021-02-01"
    told = _object(machine.fetch(Request(address, {"Metadata": "true"})))
    place = _word(told.get("location"))
    return Identity(_word(told.get("vmId")), _word(told.get("vmSize")), _word(told.get("zone")) or place, place)


_ASKED = {"openstack": _openstack, "ec2": _ec2, "gce": _gce, "azure": _azure}


def _object(text: Optional[str]) -> dict[str, object]:
    try:
        value = json.loads(text or "")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _word(value: object) -> Optional[str]:
    """A short text; what is longer, or is none, says nothing."""
    return value.strip() if isinstance(value, str) and 0 < len(value.strip()) <= 200 else None
