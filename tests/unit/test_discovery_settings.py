"""What a queue says of discovery: whom its nodes can reach, and where their pilots may keep what they found out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from central.configuration.settings_file import InvalidSettings, read
from pilot import config
from pilot.errors import InvalidInput

SETTINGS = """
[central]
port = 7000
[[communities]]
name = "physics"
[[sites]]
name = "here"
[[queues]]
name = "q"
site = "here"
"""


def test_a_queue_names_whom_its_nodes_can_reach_and_a_cache() -> None:
    """Addresses and a folder of the nodes arrive with the queue; without a word there are none."""
    said = 'reach = ["www.example.org:443", "[2001:db8::1]:80"]\ncache = "/var/cache/pilots"\n'
    queue = read(SETTINGS + said).queues[0]
    assert (queue.reach, queue.cache) == (("www.example.org:443", "[2001:db8::1]:80"), "/var/cache/pilots")
    queue = read(SETTINGS).queues[0]
    assert (queue.reach, queue.cache) == ((), "")


@pytest.mark.parametrize("word", ["www.example.org", "www.example.org:99999", ":80", "https://www.example.org:443"])
def test_what_is_no_address_is_a_mistake(word: str, tmp_path: Path) -> None:
    """In the settings of the central and in a pilot's configuration."""
    with pytest.raises(InvalidSettings, match=r"reach\[0\]: expected HOST:PORT"):
        read(f"{SETTINGS}reach = [{json.dumps(word)}]\n")
    path = tmp_path / "pilot.json"
    path.write_text(json.dumps({"stamp": "0" * 32, "central": ["https://c"], "reach": [word]}))
    with pytest.raises(InvalidInput, match=r"reach\[0\]: expected HOST:PORT"):
        config.read(path)


def test_a_cache_is_below_the_work_directory_unless_it_is_elsewhere(tmp_path: Path) -> None:
    """A relative folder is in that of the file, as all paths of a pilot's configuration."""
    path = tmp_path / "pilot.json"
    path.write_text(json.dumps({"stamp": "0" * 32, "central": ["https://c"], "cache": "kept", "reach": ["c:1"]}))
    found = config.read(path)
    assert (found.cache, found.reach) == (tmp_path / "kept", ("c:1",))
