"""Renders `unsent.sh`: what a site starts by itself, as often as it has room, to have a pilot that nobody submitted.

The script draws a stamp, copies the site's enrolment token beside the wrapper of `wrappers/render.py`, mode 0600, runs
that wrapper for this stamp and exits as it does; 95: it could not begin. One token serves all that a site starts; the
central counts them, and has a journal of each.
"""

from __future__ import annotations

import re
from pathlib import Path

from pilot.errors import InvalidInput
from wrappers.render import Bootstrap, quoted
from wrappers.render import render as render_wrapper

HERE = Path(__file__).parent
#: Stands for the stamp in the wrapper until one is drawn.
PLACEHOLDER = "0" * 32
#: The line of the script that ends the wrapper in it.
END = "END OF WRAPPER"


def render(bootstrap: Bootstrap, token_file: str) -> str:
    """The script, for a bootstrap whose stamp is the `PLACEHOLDER`. `token_file`: an absolute path where it is run.

    Raises `InvalidInput` as `wrappers.render.render` does.
    """
    if bootstrap.stamp != PLACEHOLDER:
        raise InvalidInput("stamp", "expected the placeholder: each start of the script draws a stamp")
    wrapper = render_wrapper(bootstrap).rstrip("\n")
    if END in wrapper.split("\n"):
        raise InvalidInput("work_base", f"expected a path without the line {END!r}: the shell would run what follows")
    values = {"token_file": quoted(token_file), "placeholder": PLACEHOLDER, "wrapper": wrapper}
    template = (HERE / "unsent.sh").read_text(encoding="utf-8")
    return re.sub(r"@([a-z_]+)@", lambda marker: values[marker[1]], template)
