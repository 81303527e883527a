"""Which clouds take how much user-data, in which form.

Sources: the providers' documentation, and cloud-init's data sources for what each undoes by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Cloud:
    """How one cloud takes user-data."""

    name: str
    field: str  # of its API
    most: int  # bytes, as counted by the cloud
    base64: bool = False  # the bound is on base64, which the client library makes
    text: bool = False  # values are text: what is compressed is written in base64, and said so beside it
    readable: str = ""  # by whom on the machine, beside root


_CLOUDS = (
    Cloud("ec2", "UserData", 16_384, readable="every process that reaches the metadata service"),
    Cloud("openstack", "user_data", 65_535, base64=True, readable="every process that reaches the metadata service"),
    Cloud("azure", "customData", 65_535),
    Cloud("gce", "metadata: user-data", 262_144, text=True, readable="every process that reaches the metadata service"),
    Cloud("cloudstack", "userdata", 32_768, base64=True, readable="every process that reaches the virtual router"),
    Cloud(
        "oci", "metadata: user_data", 32_000, base64=True, readable="every process that reaches the metadata service"
    ),
    Cloud("nocloud", "user-data of a seed", 1_048_576),
)
CLOUDS: Mapping[str, Cloud] = MappingProxyType({cloud.name: cloud for cloud in _CLOUDS})
