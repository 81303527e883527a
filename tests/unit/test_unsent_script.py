"""What a site starts pilots with that nobody submits: no secret in it, a stamp of its own at each start."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pilot.errors import InvalidInput
from tests.unit.test_render import BOOTSTRAP
from wrappers.unsent import PLACEHOLDER, render

UNSENT = replace(BOOTSTRAP, stamp=PLACEHOLDER, ticket="", secret_file="secret")


def test_the_stamp_is_drawn_where_it_is_started() -> None:
    """The script has the wrapper for a stamp that stands for the drawn one, in the two lines that it is put into."""
    lines = render(UNSENT, "/etc/pilotage/token").splitlines()
    with_placeholder = [line for line in lines if PLACEHOLDER in line and not line.startswith("sed ")]
    assert [line.split("=")[0][:1] for line in with_placeholder] == ["s", "{"]
    assert with_placeholder[0].startswith(f"stamp={PLACEHOLDER} ")
    assert f'"stamp": "{PLACEHOLDER}"' in with_placeholder[1]
    assert "token_file=/etc/pilotage/token place=''" in "\n".join(lines)


def test_a_path_is_one_word_and_a_stamp_is_not_given() -> None:
    """Whatever the path of the token is, the shell takes it as it is; a wrapper for one pilot is refused."""
    assert "token_file='/etc/o'\"'\"'clock $HOME' place" in render(UNSENT, "/etc/o'clock $HOME")
    with pytest.raises(InvalidInput, match="placeholder"):
        render(BOOTSTRAP, "/etc/token")


def test_no_value_ends_the_wrapper_in_it() -> None:
    """A path that would have the shell of the site run what an operator wrote behind it is refused."""
    with pytest.raises(InvalidInput, match="END OF WRAPPER"):
        render(replace(UNSENT, work_base="/work\nEND OF WRAPPER\ntouch /owned"), "/etc/pilotage/token")
