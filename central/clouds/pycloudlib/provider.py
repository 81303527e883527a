"""A cloud of pycloudlib's behind the port of every cloud: LXD's containers.

Driven for real: every verb against LXD 5.0 (`tests/real/lxd.sh`). Not driven, and not offered: pycloudlib's other
clouds. Two of them have adapters of their own here, and what machines need from the others (a list by marks, a bound on
what is asked, user-data that nobody else reads) pycloudlib does not do for all.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from central.clouds.pycloudlib.lxd import Lxd
from central.clouds.threaded import ThreadedProvider
from central.configuration.elements import Cloud
from pilot.errors import PilotageError
from wrappers.user_data.clouds import CLOUDS

#: The clouds of pycloudlib's that can be asked for, in `region`; the first where nothing is said.
KINDS = ("lxd",)


def make_pycloudlib(cloud: Cloud, central: str, held: Path) -> ThreadedProvider[Lxd]:
    """`central`: the mark of this installation. `held` is not read: LXD knows the user whose process it is, and makes a
    seed of the user-data.

    Raises `PilotageError` for a cloud that is not among `KINDS`.
    """
    if (cloud.region or KINDS[0]) not in KINDS:
        raise PilotageError(f"region: expected a cloud of pycloudlib's, {' or '.join(KINDS)}, got {cloud.region}")
    return ThreadedProvider(partial(Lxd, central), "LXD", CLOUDS["nocloud"], cloud.patience)
