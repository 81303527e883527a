"""Compiles user-data: one cloud-config of a few files and a few commands, in the form that a cloud takes.

It holds no pilot, only where one is to be had: its size does not depend on what the pilot is. Nothing is installed and
nothing upgraded, since either may reboot the machine in the middle.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from pilot.errors import InvalidInput
from wrappers.render import configuration, render
from wrappers.user_data import units
from wrappers.user_data.clouds import Cloud
from wrappers.user_data.model import PLACE, RUN, Boot

HEAD = "#cloud-config\n"
#: Bytes above which user-data is compressed, where that makes it smaller: below, people can read it in any console.
READABLE = 4000
_STUB = Path(__file__).with_name("boot.py")


@dataclass(frozen=True)
class UserData:
    """What goes to a cloud. `content` is before the base64 that client libraries make of it by themselves."""

    content: bytes
    cloud_config: str
    counted: int  # bytes, as the cloud counts them
    beside: Mapping[str, str] = field(default_factory=dict)  # further metadata that says how to read it


def compile_user_data(boot: Boot, cloud: Cloud) -> UserData:
    """Raises `InvalidInput` where a value could not be carried, or the cloud would not take so much."""
    boot.check()
    render(boot.bootstrap)  # which checks what both have in common
    text = cloud_config(boot)
    made = encoded(text, cloud)
    if made.counted > cloud.most:
        parts = ", ".join(f"{entry['path']} {len(entry['content'])}" for entry in yaml.safe_load(text)["write_files"])
        raise InvalidInput(
            "user-data", f"expected at most {cloud.most} bytes for {cloud.name}, got {made.counted}; its files: {parts}"
        )
    return made


def cloud_config(boot: Boot) -> str:
    """The text that cloud-init reads."""
    document = {
        "package_update": False,
        "package_upgrade": False,
        "write_files": [
            _file(f"{RUN}/secret", "0600", boot.secret + "\n"),
            _file(f"{PLACE}/boot.json", "0600", json.dumps(_told(boot), separators=(",", ":")) + "\n"),
            _file(f"{PLACE}/boot.py", "0600", _stub()),
            *(_file(f"/etc/systemd/system/{name}", "0644", text) for name, text in units.units(boot).items()),
        ],
        # --no-block: what starts after the network is on would wait for cloud-init, and cloud-init for it.
        "runcmd": [
            ["systemctl", "daemon-reload"],
            ["systemctl", "enable", *units.ENABLED],
            ["systemctl", "start", "--no-block", *units.ENABLED],
        ],
    }
    return HEAD + yaml.safe_dump(document, sort_keys=False, width=1000, default_style=None)


def encoded(text: str, cloud: Cloud) -> UserData:
    """In the form that is smaller, where it is large enough for that to matter."""
    plain = text.encode("utf-8")
    packed = gzip.compress(plain, compresslevel=9, mtime=0)
    if cloud.text:
        packed = base64.b64encode(packed)
    if len(plain) <= READABLE or len(packed) >= len(plain):
        return UserData(plain, text, _counted(plain, cloud))
    beside = {"user-data-encoding": "base64"} if cloud.text else {}
    return UserData(packed, text, _counted(packed, cloud), beside)


def _counted(content: bytes, cloud: Cloud) -> int:
    return -(-len(content) // 3) * 4 if cloud.base64 else len(content)


def _told(boot: Boot) -> dict[str, object]:
    """`boot.json`, for the stub."""
    start = boot.bootstrap
    proxies = {"https_proxy": start.proxy, "no_proxy": ",".join(start.no_proxy)}
    told = replace(start, secret_file=f"{RUN}/secret")
    config = {name: value for name, value in configuration(told).items() if value not in (None, [], "", False)}
    config = {"metadata": "guard", "vm": True, "ends": boot.ends, **config}
    config.pop("boot_log", None)  # cloud-init's own log says what came before the pilot
    return {
        "urls": list(start.urls),
        "sha256": start.sha256,
        "ca": start.ca_pem.strip() + "\n" if start.ca_pem else "",
        "ticket": start.ticket,
        "patience": 900,
        "environment": {key: value for name, value in proxies.items() if value for key in (name, name.upper())},
        "config": config,
    }


def _stub() -> str:
    """Without its docstring: it travels with each machine."""
    return _STUB.read_text(encoding="utf-8").rpartition('"""\n')[2]


def _file(path: str, mode: str, content: str) -> dict[str, str]:
    return {"path": path, "permissions": mode, "content": content}
