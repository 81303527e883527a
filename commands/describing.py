"""Says what the commands of a folder are, as JSON: run as a process of its own by whoever builds a bundle of it.

    python -m commands.describing FOLDER FD

The answer goes to the descriptor FD, since modules may print. It imports every module at the top of the folder, which
is why it is nobody else's process.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

from commands.registry import Command


def describe(folder: Path) -> dict[str, Any]:
    """The commands of each module and package at the top, and why some could not be imported."""
    sys.path.append(str(folder))
    commands, problems = [], []
    for name in modules(folder):
        try:
            module = importlib.import_module(name)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - each is told, whatever it raises
            traceback.print_exc()
            problems.append(f"{name} cannot be imported: {type(error).__name__}: {error}")
            continue
        found = getattr(module, "__file__", None) or ""
        if not os.path.realpath(found).startswith(os.path.realpath(folder) + os.sep):
            problems.append(f"{name} is the name of a module that Python has already: call it something else")
            continue
        for attribute, value in vars(module).items():
            if isinstance(value, Command) and value.run.__module__.partition(".")[0] == name:
                commands.append({**asdict(value.record()), "name": f"{name}:{attribute}"})
    return {"commands": commands, "problems": problems}


def modules(folder: Path) -> list[str]:
    """Names of what can be imported from a folder, tests left out."""
    found = [path.stem for path in folder.glob("*.py") if not path.name.startswith("test_")]
    found += [path.parent.name for path in folder.glob("*/__init__.py") if path.parent.name != "tests"]
    return sorted(name for name in found if name.isidentifier() and name != "conftest")


if __name__ == "__main__":
    answer = describe(Path(sys.argv[1]))
    sys.stdout.flush()
    with os.fdopen(int(sys.argv[2]), "w") as out:
        json.dump(answer, out)
