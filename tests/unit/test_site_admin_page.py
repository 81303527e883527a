"""The page for site admins says what the pilot does: its policy is read, its paths are those of the code."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import yaml

from pilot import policy
from pilot.policy import Policy, parse

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "site-admin.md").read_text()


def test_the_policy_on_the_page_uses_every_key() -> None:
    """The example is a policy, and leaves out nothing that one may say."""
    (example,) = re.findall(r"```yml\n(.*?)```", PAGE, re.DOTALL)
    values = yaml.safe_load(example)
    assert set(values) == {field.name for field in fields(Policy)} - {"source"}
    read = parse(values, "the page")
    assert read.allows_image("/cvmfs/images/root.sif")
    assert not read.allows_image("docker://elsewhere/image")
    assert read.allows_path("/data/run1")


def test_the_files_on_the_page_are_those_that_are_looked_at() -> None:
    """Where the policy lies, and which file drains."""
    assert f"`{policy.SITES_FILE}`" in PAGE
    assert f"`touch {policy.DRAIN_FILE}`" in PAGE
