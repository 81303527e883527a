"""LXD by pycloudlib: blocking, one thing after another. The only module that imports pycloudlib.

pycloudlib creates, starts and deletes, and has no lists, no marks and no quotas: for these `lxc` is asked, as
pycloudlib itself does it. It would hand user-data to `lxc` as an argument, which every user of the host can read: a
machine is created without, and is given it before it is started. `lxc` finds LXD by the environment of this process
(LXD_DIR, LXD_CONF) or in its usual place.
"""

from __future__ import annotations

import gzip
import io
import json
import logging
import zlib
from collections.abc import Sequence
from typing import Any

from pycloudlib.lxd.cloud import LXDContainer
from pycloudlib.util import subp

from central.clouds.port import Flavor, Intent, Machine, Named, Quota
from central.clouds.pycloudlib import machines, sizes
from central.clouds.pycloudlib.errors import answered, gone, there_already
from central.elements.port import ComputingError, Trouble

#: What every machine has beside its flavor: the disk, and the network where the queue names none.
PROFILE = "default"
#: Bytes of user-data as it is read, and of a console's output.
_MOST, CONSOLE = 4 * 1024 * 1024, 1024 * 1024
#: A console that nothing was written to yet.
_NOT_YET = "no such file"
# It warns that it knows no key of a person, which machines are not to have.
logging.getLogger("pycloudlib").setLevel(logging.ERROR)
#: pycloudlib reads its settings from a file in the user's home; here it has none.
_SETTINGS = "[lxd]\n"


class Lxd:
    """The containers of one installation, its mark `central`. Everything raises `ComputingError`."""

    def __init__(self, central: str) -> None:
        self.central = central
        self._cloud: Any = None

    def validate(self) -> None:
        _lxc("list", "--format", "csv", "--columns", "n")

    def images(self) -> Sequence[Named]:
        images = [each for each in _listed("image", "list") if each.get("type", "container") == "container"]
        named = [Named(each["fingerprint"], alias["name"]) for each in images for alias in each.get("aliases") or ()]
        return named + [Named(each["fingerprint"], "") for each in images if not each.get("aliases")]

    def flavors(self) -> Sequence[Flavor]:
        return sizes.flavors(_listed("profile", "list"))

    def networks(self) -> Sequence[Named]:
        return [Named(each["name"], each["name"]) for each in _listed("network", "list") if each.get("managed")]

    def quota(self) -> Quota:
        name = sizes.current(_lxc("project", "list", "--format", "csv"))
        (project,) = [each for each in _listed("project", "list") if each["name"] == name] or [{}]
        return sizes.quota(project, _listed("list"))

    def machines(self) -> Sequence[Machine]:
        return [machines.machine(each) for each in self._ours()]

    def machine(self, id: str) -> Machine | None:
        found = self._found(id)
        return machines.machine(found) if found else None

    def create(self, intent: Intent) -> str:
        """One that is there and was never started, as a creation that was broken off leaves it, is finished."""
        self._check(intent)
        told = _text(intent.user_data)
        name = machines.name(self.central, intent.stamp)
        there = self._found(name)
        if there is None:
            there = self._made(name, intent)
        if machines.was_started(there):
            if there["config"].get(machines.USER_DATA) != told:
                message = f"{name} was started before, with another secret; it is ended"
                raise ComputingError(message, Trouble.REFUSED)
            return name
        self._start(name, told)
        return name

    def delete(self, id: str) -> None:
        if self._found(id) is None:
            return
        try:
            problems = self._pycloudlib().get_instance(id).delete(wait=False)
        except (RuntimeError, OSError) as error:
            problems = [error]
        for problem in problems or ():  # newer releases of pycloudlib hand over what older ones raise
            if not gone(problem):
                raise answered(problem)

    def console(self, id: str) -> bytes:
        if self._found(id) is None:
            return b""
        try:
            told: str = self._pycloudlib().get_instance(id).console_log()
        except (RuntimeError, OSError) as error:
            if gone(error) or _NOT_YET in str(error):
                return b""
            raise answered(error) from None
        except UnicodeDecodeError as error:  # pycloudlib takes it for text, and it may begin within a character
            return error.object[-CONSOLE:]
        return told.encode()[-CONSOLE:]

    def _check(self, intent: Intent) -> None:
        """What LXD would take without a word, or pycloudlib cannot ask for. Raises `ComputingError`."""
        if intent.spot:
            raise ComputingError("LXD has no spot machines", Trouble.REFUSED)
        if len(intent.networks) > 1:
            raise ComputingError(f"expected one network of LXD's, got {intent.networks}", Trouble.REFUSED)
        if intent.flavor not in {flavor.name for flavor in self.flavors()}:
            expected = "expected a profile of LXD's with limits.cpu and limits.memory"
            raise ComputingError(f"{expected}, got {intent.flavor}", Trouble.REFUSED)

    def _made(self, name: str, intent: Intent) -> Any:
        image = intent.image if ":" in intent.image else f"local:{intent.image}"
        try:
            self._pycloudlib().init(
                name,
                image,
                network=intent.networks[0] if intent.networks else None,
                profile_list=[PROFILE, intent.flavor],
                config_dict=machines.settings(self.central, intent),
                execute_via_ssh=False,
            )
        except (RuntimeError, OSError) as error:
            if not there_already(error):
                raise answered(error) from None
        found = self._found(name)
        if found is None:
            raise ComputingError(f"{name} was created, and is not listed by LXD", Trouble.UNREACHABLE)
        return found

    def _start(self, name: str, user_data: str) -> None:
        """A machine that LXD refuses to start is deleted, so that it does not count."""
        try:
            _lxc("config", "set", name, machines.USER_DATA, "-", given=user_data)
            self._pycloudlib().get_instance(name).start(wait=False)
        except (RuntimeError, OSError, ComputingError) as error:
            problem = error if isinstance(error, ComputingError) else answered(error)
            there = self._found(name)
            if there is not None and machines.was_started(there):
                return  # somebody who asked for the same stamp was faster
            if problem.trouble is not Trouble.UNREACHABLE:
                self.delete(name)
            raise problem from None

    def _ours(self) -> Sequence[Any]:
        listed = _listed("list", f"{machines.CENTRAL}={self.central}")
        return [each for each in listed if machines.is_of(each, self.central)]

    def _found(self, name: str) -> Any:
        """One of ours, as LXD lists it."""
        return next((each for each in self._ours() if each["name"] == name), None)

    def _pycloudlib(self) -> Any:
        """Of this thread. No key of a person is put on machines."""
        if self._cloud is None:
            self._cloud = LXDContainer("pilotage", timestamp_suffix=False, config_file=io.StringIO(_SETTINGS))
            self._cloud.key_pair = None
        self._cloud.created_instances.clear()  # which pycloudlib keeps so that it can delete all in the end
        return self._cloud


def _lxc(*words: str, given: str | None = None) -> str:
    try:
        return str(subp(["lxc", *words], data=given))
    except (RuntimeError, OSError) as error:
        raise answered(error) from None


def _listed(*words: str) -> list[Any]:
    told = _lxc(*words, "--format", "json")
    try:
        found: list[Any] = json.loads(told)
    except ValueError:
        message = f"LXD says what is no list: {told[:100]!r}"
        raise ComputingError(message, Trouble.UNREACHABLE) from None
    return found


def _text(user_data: bytes) -> str:
    """LXD's settings are text: what is compressed is unpacked."""
    try:
        if user_data.startswith(b"\x1f\x8b"):
            with gzip.open(io.BytesIO(user_data)) as file:
                user_data = file.read(_MOST + 1)
        if len(user_data) > _MOST:
            raise ComputingError(f"expected user-data of at most {_MOST:,} bytes", Trouble.REFUSED)
        return user_data.decode()
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ComputingError(f"expected user-data of text: {error}", Trouble.REFUSED) from None
