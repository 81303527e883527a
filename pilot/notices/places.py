"""Finds out who may give notice here: the cloud that this machine says it is of, and machine/job features."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Callable, Optional
from urllib.parse import urlsplit

from pilot.notices import azure, ec2, gce, mjf
from pilot.notices.azure import Azure
from pilot.notices.ec2 import Ec2
from pilot.notices.gce import Gce
from pilot.notices.notice import Fetch, Reply, Source

#: What the firmware says of the machine, below /sys.
DMI = Path("class/dmi/id")
NAMES = ("sys_vendor", "product_name", "product_version", "bios_version", "chassis_asset_tag")
AZURE_TAG = "7783-7084-3265-9085-8269-3286-77"
#: Seconds for an answer of a metadata service, which is on the same machine or next to it.
TIMEOUT = 2.0
#: Bytes of an answer.
MOST = 256 * 1024

CLOUDS: Mapping[str, tuple[Callable[[Fetch, str], Source], str]] = {
    "ec2": (Ec2, ec2.BASE),
    "gce": (Gce, gce.BASE),
    "azure": (Azure, azure.BASE),
}


def cloud_of(dmi: Mapping[str, str]) -> Optional[str]:
    """Which cloud a machine is of, by what its firmware says; None: of none that gives notices."""
    if dmi.get("sys_vendor", "").startswith("Amazon EC2") or "amazon" in (
        dmi.get("product_version", "") + dmi.get("bios_version", "")
    ):
        return "ec2"
    if dmi.get("product_name", "") == "Google Compute Engine":
        return "gce"
    return "azure" if dmi.get("chassis_asset_tag", "") == AZURE_TAG else None


def read_dmi(sys: Path) -> dict[str, str]:
    """What can be read of it."""
    return {name: _text(sys / DMI / name) for name in NAMES}


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def sources(
    environment: Mapping[str, str], cloud: Optional[str], metadata: Optional[str], fetch: Fetch
) -> tuple[Source, ...]:
    """Everybody who may give notice. `metadata` is the address of the cloud's service, None: the usual one."""
    found: list[Source] = [*mjf.sources(environment, fetch)]
    if cloud is not None and cloud in CLOUDS:
        kind, base = CLOUDS[cloud]
        found.append(kind(fetch, metadata or base))
    return tuple(found)


def fetch(method: str, url: str, headers: dict[str, str]) -> Reply:
    """Ask directly, whatever proxies there are: a metadata service is behind none. Raises OSError, ValueError."""
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError(f"expected the address of a service, got {url[:200]!r}")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=TIMEOUT)
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), headers=headers)
        answer = connection.getresponse()
        return Reply(answer.status, answer.read(MOST), _time(answer.getheader("Date")))
    except http.client.HTTPException as error:
        raise OSError(f"{url}: {error!r}") from error
    finally:
        connection.close()


def _time(date: Optional[str]) -> Optional[float]:
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except (TypeError, ValueError, OverflowError):
        return None
