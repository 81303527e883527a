"""The contract of every cloud, for containers of systemd-nspawn on this host."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from central.clouds.conformance import CloudProviderContract, Scene
from central.clouds.guests.nspawn import make_nspawn
from tests.real.guest_scene import IMAGES, scene

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not IMAGES, reason="what this needs is set up by the lane nspawn"),
]


class TestNspawn(CloudProviderContract):
    """Containers that share this host's network."""

    @pytest.fixture(scope="class")
    @classmethod
    def scene(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
        folder = tmp_path_factory.mktemp("guests")
        yield scene(folder, make_nspawn, networks=("host",), console=b"Reached target", patience=60)
        assert not list((folder / "machines").iterdir())
