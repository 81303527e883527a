"""What bites in a job, on the node: words and names reach the payload as they are, and no shell is between."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from pilot.errors import ExitCode

TOP = Path(__file__).resolve().parents[2]
SHOW = """\
import json, os, sys
out = {"words": sys.argv[1:], "variables": {k: v for k, v in os.environ.items() if k.startswith("WORD_")}}
print(json.dumps(out))
for name in json.loads(os.environ["NAMES"]):
    open(name, "w").write("made")
"""


def test_no_word_is_read_by_a_shell(tmp_path: Path) -> None:
    """Arguments, variables and names of outputs with everything that a shell knows are nothing but text to the pilot: a
    job with them succeeds, and what they say to a shell is not done."""
    trap = tmp_path / "trap"
    words = [
        f"$(touch {trap})",
        f"`touch {trap}`",
        f"; touch {trap} #",
        f"| touch {trap}",
        f"&& touch {trap} &",
        f"a\ntouch {trap}\n",
        f"> {trap}",
        "'\"\\",
        "$HOME ${PATH} ~ !! *",
        "--help",
        "%s%n{0}",
        "\x1b[2J\x1b]0;owned\x07",
        "é\u202e\U0001f4a3",
        " ",
    ]
    names = ["$(id).out", "`id`.out", "a;b.out", "a b.out", "-rf.out", "a'b.out", 'a"b.out', "a&b|c.out"]
    variables = {f"WORD_{number}": word for number, word in enumerate(words)}
    job = {
        "command": [sys.executable, "show.py", *words],
        "inputs": ["show.py"],
        "outputs": ["*.out"],
        "environment": {**variables, "NAMES": json.dumps(names)},
        "needs": {"cores": 1, "memory": "300 MB", "wall_time": "1 min"},
    }
    (tmp_path / "here").mkdir()
    (tmp_path / "show.py").write_text(SHOW)
    (tmp_path / "job.yaml").write_text(json.dumps(job, ensure_ascii=False), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pilot", "run", "--job", str(tmp_path / "job.yaml")],
        cwd=tmp_path / "here",
        env={**os.environ, "PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == ExitCode.DONE, done.stdout + done.stderr
    said = json.loads(next(path for path in (tmp_path / "here").rglob("stdout")).read_text())
    assert (said["words"], said["variables"]) == (words, variables)
    assert {path.name for path in (tmp_path / "here").rglob("*.out")} == set(names)
    assert not trap.exists()


def test_half_a_character_is_refused(tmp_path: Path) -> None:
    """What cannot be an argument or a variable is told with its place, before anything runs."""
    (tmp_path / "job.yaml").write_text('{"command": ["echo", "\\ud83d"], "environment": {"X": "\\udca3\\ud83d"}}')
    done = subprocess.run(
        [sys.executable, "-m", "pilot", "run", "--job", "job.yaml"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode not in (0, 1)
    assert "Traceback" not in done.stderr
    assert "command: expected whole characters" in done.stderr
    assert "environment.X: expected whole characters" in done.stderr
