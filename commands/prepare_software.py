"""What payloads find in their environment. Ours is the plain machine; a community puts its own in this place."""

from __future__ import annotations

import os

from commands.context import Context
from commands.registry import command

#: Where programs are on any machine, for a pilot that was started without a PATH.
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


@command(needs=["node"], provides=["software"], timeout=300)
def prepare_software(context: Context) -> Context:
    """Give payloads the PATH that the pilot was started with; the options of this command are variables on top."""
    environment = {"PATH": os.environ.get("PATH") or PATH, **context.options.get("prepare_software", {})}
    missing = [place for place in environment["PATH"].split(":") if place and not os.path.isdir(place)]
    if missing:
        context.say(f"on the PATH of payloads, but not here: {', '.join(missing)}")
    return context.evolve(environment={**context.environment, **environment})
