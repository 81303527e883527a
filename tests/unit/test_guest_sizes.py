"""Flavors of guests, and how much of this host they may have."""

from __future__ import annotations

from pathlib import Path

import pytest

from central.clouds.guests.sizes import BUILT_IN, read
from pilot.errors import PilotageError


def test_what_is_built_in(tmp_path: Path) -> None:
    """Without a file there are flavors, and the quota is what this host has."""
    sizes = read(tmp_path)
    assert sizes.flavors == BUILT_IN
    assert sizes.machines is None
    assert sizes.cores >= 1
    assert sizes.memory > 10**8


def test_what_the_file_says(tmp_path: Path) -> None:
    """Flavors and quota are those of the file; what is left out of a flavor follows from its cores."""
    (tmp_path / "guests.toml").write_text(
        '[quota]\nmachines = 3\ncores = 6\nmemory = "8 GB"\n[[flavors]]\nname = "tiny"\n'
        '[[flavors]]\nname = "wide"\ncores = 4\nmemory = "3 GB"\ndisk = "5 GB"\n'
    )
    sizes = read(tmp_path)
    assert (sizes.machines, sizes.cores, sizes.memory) == (3, 6, 8 * 10**9)
    tiny, wide = sizes.flavors
    assert (tiny.id, tiny.cores, tiny.memory) == ("tiny", 1, 2 * 1024**3)
    assert (wide.cores, wide.memory, wide.disk) == (4, 3 * 10**9, 5 * 10**9)


def test_all_that_is_wrong_is_told(tmp_path: Path) -> None:
    """Every problem of the file is in the message, with the file's name."""
    (tmp_path / "guests.toml").write_text('size = 1\n[quota]\ncores = "many"\n[[flavors]]\ncores = 0\n')
    with pytest.raises(PilotageError) as caught:
        read(tmp_path)
    for word in ("guests.toml", "size", "quota.cores", "flavors[0].name", "flavors[0].cores"):
        assert word in str(caught.value)


@pytest.mark.parametrize("text", ["flavors = 1\n", '[[flavors]]\nname = "a"\n[[flavors]]\nname = "a"\n', "= no TOML"])
def test_a_file_that_makes_no_sense(tmp_path: Path, text: str) -> None:
    """It is refused whole."""
    (tmp_path / "guests.toml").write_text(text)
    with pytest.raises(PilotageError, match=r"guests\.toml"):
        read(tmp_path)
