"""The guard of the metadata service within a real container, before and after payloads are cut off."""

from __future__ import annotations

import os
import pwd

import pytest

from pilot.imds import cut
from pilot.imds.contained import as_payload_in
from pilot.imds.guard import Guard
from pilot.imds.payload import as_payload
from pilot.payloads.slot_users import users_of
from pilot.singularity.probe import try_out
from pilot.singularity.runtime import Runtime
from tests.integration import cloud_network
from tests.integration.cloud_network import machine
from tests.real.container_scene import PATH, SLOT

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(bool(cloud_network.lacks()), reason=cloud_network.lacks()),
]


def test_a_container_is_no_way_around_the_cut() -> None:
    """What runs in a container as the payload's user reaches the service as that user does, until it is cut off."""
    runtime = try_out({**os.environ, "PATH": PATH})
    assert isinstance(runtime, Runtime), runtime
    users = users_of(SLOT)
    with machine():
        within = Guard(users, "", lambda user, text: as_payload_in(runtime, user, text)).facts()[0]
        assert within.value is True, within
        assert cut.cut_off([pwd.getpwnam(SLOT).pw_uid], cut.run_as_root) == ""
        both = Guard(users, "", as_payload, lambda: lambda user, text: as_payload_in(runtime, user, text)).facts()[0]
    assert both.value is False, both
    assert both.source.endswith("; and in a container")
