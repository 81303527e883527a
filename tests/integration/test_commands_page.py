"""The ten minutes of docs/commands.md, typed as they stand there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system import BUNDLE, TOP

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PAGE = (TOP / "docs" / "commands.md").read_text()
TEN_MINUTES = PAGE.split("## Ten minutes from nothing\n")[1].split("\n## ", maxsplit=1)[0]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEN_MINUTES, re.DOTALL)


class Reader:
    """Somebody who does what the page says, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "central"
        programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": programs, "PILOTAGE_FOLDER": str(self.home)}

    def type(self, line: str, seconds: float = 90) -> str:
        """Run a line as it is typed, without a shell."""
        words = shlex.split(line)
        more = dict(word.split("=", 1) for word in words[:1] if "=" in word)
        done = subprocess.run(
            words[len(more) :],
            cwd=self.folder,
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    def write(self, block: str) -> None:
        """A block whose first line is a comment with the name of a file."""
        first, _, rest = block.partition("\n")
        path = self.folder / first.removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rest)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path)
    yield reader
    if reader.home.exists():
        subprocess.run(["pilotage", "down"], env=reader.environment, capture_output=True, timeout=60, check=False)


def console(reader: Reader) -> list[str]:
    """The lines that are typed; two have a port and a pilot that only a test needs."""
    typed = [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines() if line[:2] == "$ "]
    return [line + f" --port 0 --pilot {BUNDLE}" if line == "pilotage up --detach" else line for line in typed]


def test_a_stranger_gets_there(reader: Reader) -> None:
    """From nothing to a published command that runs in a pilot, by what the page says and nothing else."""
    for block in (*blocks("python"), *blocks("yaml")):
        reader.write(block)
    (settings,) = blocks("toml")
    lines = iter(console(reader))
    said = key = ""
    for line in lines:
        if line == "pilotage down":
            configure(reader, settings, key)
        if line.startswith("pilotage submit"):
            break
        said = reader.type(line)
        if "keygen" in line:
            (key,) = re.findall(r"bundle_keys = .*", said)
    assert "hello_commands:greet" in said
    assert "cannot be run" not in said
    reader.type("pilotage submit job.yaml --watch")
    assert reader.type("pilotage logs 1") == "good morning\n"
    (stamp, *_) = re.findall(r"^([0-9a-f]{8}) ", reader.type("pilotage pilots --all"), re.M)
    shown = reader.type(f"pilotage pilot {stamp}")
    assert re.search(r"3\s+hello_commands:greet\s+ok .*█", shown)
    log = reader.type(f"pilotage logs --pilot {stamp} --stream step-3-hello_commands.greet")
    assert "your kernel is" in log


def configure(reader: Reader, table: str, key: str) -> None:
    """Edit the settings as the page says."""
    path = reader.home / "central.toml"
    text = path.read_text()
    text = text.replace('[[communities]]\nname = "local"\n', f'[[communities]]\nname = "local"\n{key}\n', 1)
    if re.search(r"^tags = \[", text, re.M):
        text = re.sub(r"^tags = \[", 'tags = ["greeted", ', text, count=1, flags=re.M)
    else:
        text = text.replace('[[queues]]\nname = "local"\n', '[[queues]]\nname = "local"\ntags = ["greeted"]\n', 1)
    path.write_text(text + "\n" + table)
