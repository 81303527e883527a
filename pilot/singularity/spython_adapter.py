"""spython, which pulls and inspects images, as a process of its own, which the pilot can end.

Run as a script: ``python -I spython_adapter.py LIBRARIES pull URI TARGET`` or ``… inspect IMAGE``. In a process, since
spython knows no time limit, reads its settings from the environment and leaves by `sys.exit` where something is wrong.
It never executes payloads: it would hand out no process, and drops what a container is asked to hide.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

#: Exit code for what spython could not do; its words are on stderr.
FAILED = 1


def libraries() -> Optional[Path]:
    """The folder that spython is in, None where it is not installed."""
    found = importlib.util.find_spec("spython")
    return Path(found.origin).parent.parent if found is not None and found.origin else None


def command(python: str, where: Path, verb: str, *words: str) -> list[str]:
    """How to run this file for one verb."""
    return [python, "-I", __file__, str(where), verb, *words]


def main(arguments: Sequence[str]) -> int:
    """Carry out one verb with spython; prints what inspect found as JSON."""
    os.setpgid(0, 0)  # so that the pilot can end the program, too, that spython starts
    where, verb, *words = arguments
    sys.path.insert(0, where)
    client: Any = importlib.import_module("spython.main").Client
    client.quiet = True
    if verb == "inspect":
        found = client.inspect(words[0], quiet=True)
        if "attributes" not in found:  # then it is how the program failed
            print(" ".join(str(line).strip() for line in found.get("message", ())), file=sys.stderr)
            return FAILED
        print(json.dumps(found["attributes"].get("labels") or {}))
        return 0
    uri, target = words
    client.pull(uri, name=target, force=True, quiet=True)
    return 0 if Path(target).is_file() else FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
