"""What cloud-init's schema does not tell: rules about order, places and secrets that make a machine come up or not."""

from __future__ import annotations

import base64
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from typing import Any

import yaml

from wrappers.user_data.clouds import Cloud
from wrappers.user_data.compile import HEAD
from wrappers.user_data.lint_pilot import contradictions

#: Paths under which a file may vanish while the machine boots.
_VANISHING = ("/tmp/", "/var/tmp/")  # noqa: S108 - named, not used
#: Bytes of a cloud-config that is looked at.
_MOST = 4 * 1024 * 1024
_SECRET = re.compile(r"secret|password|token|key", re.IGNORECASE)
_PRIVATE = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
#: Keys at the top that cloud-init's modules have, as far as anybody starts a pilot with them.
_KNOWN = frozenset(
    (
        *("bootcmd", "ca_certs", "chpasswd", "disable_root", "disk_setup", "final_message", "fs_setup", "groups"),
        *("growpart", "hostname", "fqdn", "locale", "manage_etc_hosts", "mounts", "ntp", "output", "package_update"),
        *(
            "package_upgrade",
            "package_reboot_if_required",
            "packages",
            "phone_home",
            "power_state",
            "preserve_hostname",
        ),
        *("resize_rootfs", "runcmd", "ssh_authorized_keys", "ssh_pwauth", "swap", "timezone", "users", "write_files"),
        *("yum_repos", "apt", "bootcmd", "random_seed", "resolv_conf", "manage_resolv_conf", "disable_ec2_metadata"),
    )
)


def problems(content: bytes, cloud: Cloud) -> list[str]:
    """Everything that speaks against giving this to a machine of the cloud, as sentences; empty when nothing does."""
    try:
        content = _unpacked(content, cloud)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        return [f"what is compressed cannot be read: {error}"]
    text = content.decode("utf-8", "replace")
    if not text.startswith(HEAD):
        return [f"expected a cloud-config, whose first line is {HEAD.strip()}; got {text[:40]!r}"]
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        return [f"this is not YAML: {error}"]
    if not isinstance(document, dict):
        return ["expected a mapping of cloud-init's keys"]
    found = [*_top(document), *_files(document), *_commands(document), *contradictions(document)]
    if _PRIVATE.search(text):
        reader = cloud.readable or "whoever gets at the machine's disk"
        found.append(f"a private key is in it, which can be read by {reader}: a one-time secret is for that")
    if not text.endswith("\n"):
        found.append("expected a line's end at its end: some clouds put something behind it")
    return found


def _unpacked(content: bytes, cloud: Cloud) -> bytes:
    """What cloud-init reads. Raises `OSError`, `EOFError`, `ValueError`, `zlib.error`."""
    if cloud.text and not content.startswith(HEAD.encode()):
        content = base64.b64decode(content, validate=True)
    if not content.startswith(b"\x1f\x8b"):
        return content
    with gzip.open(io.BytesIO(content)) as file:
        return file.read(_MOST)


def _top(document: dict[str, Any]) -> Iterator[str]:
    for key in document:
        if key not in _KNOWN:
            yield f"{key}: no module of cloud-init has this key, and older ones pass over it without a word"
    for key in ("package_upgrade", "package_reboot_if_required"):
        if document.get(key):
            yield f"{key}: expected false; an upgrade may reboot the machine before the pilot is started"


def _files(document: dict[str, Any]) -> Iterator[str]:
    entries = document.get("write_files") or []
    if not isinstance(entries, list):
        yield "write_files: expected a list"
        return
    for index, entry in enumerate(entries):
        where = f"write_files[{index}]"
        if not isinstance(entry, dict) or not str(entry.get("path", "")).startswith("/"):
            yield f"{where}: expected a mapping with an absolute path"
            continue
        yield from (f"{where} ({entry['path']}): {problem}" for problem in _file(entry))


def _file(entry: dict[str, Any]) -> Iterator[str]:
    path, mode = str(entry["path"]), str(entry.get("permissions", "0644"))
    if path.startswith(_VANISHING):
        yield "expected another folder: what is written there early may be removed later in the same boot"
    if not entry.get("defer") and str(entry.get("owner", "root:root")).partition(":")[0] != "root":
        yield "expected owner root, or `defer: true`: other users do not exist yet when it is written"
    if _SECRET.search(path.rpartition("/")[2]) and not mode.endswith("00"):
        yield f"expected permissions 0600 of a secret, got {mode}"
    if _SECRET.search(path.rpartition("/")[2]) and not path.startswith("/run/"):
        yield "expected a secret below /run, which does not outlive a boot and is in no image of the disk"


def _commands(document: dict[str, Any]) -> Iterator[str]:
    for key in ("runcmd", "bootcmd"):
        entries = document.get(key) or []
        if not isinstance(entries, list):
            yield f"{key}: expected a list"
            continue
        if len({type(entry) for entry in entries}) > 1:
            yield f"{key}: expected each a list of words, or each a text; mixed, quotes mean two things"
        for index, entry in enumerate(entries):
            line = " ".join(map(str, entry)) if isinstance(entry, list) else str(entry)
            if "cloud-init status --wait" in line:
                yield f"{key}[{index}]: it waits for cloud-init, which waits for it"
