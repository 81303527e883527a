"""The contract of every outer computing element, for those that need nothing but this host."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from central.elements.batch import BatchElement
from central.elements.conformance import ComputingElementContract, Refused, Scene, asking
from central.elements.here import Here
from central.elements.local import LocalHost
from central.elements.port import Request, Submission
from central.elements.system import Door
from central.elements.systems.processes import Processes
from central.elements.trial import ENVIRONMENT
from tests.contract.shell_batch import ShellBatch


def obstacle(folder: Path) -> Refused:
    """A submission cannot be taken, since something is in the place of its script."""

    @contextmanager
    def refused(submission: Submission) -> Iterator[Submission]:
        (folder / submission.stamp / "wrapper.sh" / "somebody").mkdir(parents=True)
        yield submission
        shutil.rmtree(folder / submission.stamp)

    return refused


class TestLocalHost(ComputingElementContract):
    """Processes of this host, as the central starts them without any batch system."""

    @pytest.fixture(scope="class")
    @classmethod
    def scene(cls, tmp_path_factory: pytest.TempPathFactory) -> Scene:
        folder = tmp_path_factory.mktemp("local") / "pilots"
        return Scene(lambda: LocalHost(folder, ENVIRONMENT), obstacle(folder))


class TestBatchElement(ComputingElementContract):
    """A batch system by its programs on this host, which does not show its jobs the folders of pilots."""

    @pytest.fixture(scope="class")
    @classmethod
    def scene(cls, tmp_path_factory: pytest.TempPathFactory) -> Scene:
        folder = tmp_path_factory.mktemp("batch")
        system = ShellBatch(folder / "spool", Door(environment=tuple(ENVIRONMENT.items())))
        return Scene(lambda: BatchElement(Here({}), system, str(folder / "pilots")), asking(Request(cores=100_000)))


class TestWithAnObstacle(ComputingElementContract):
    """The same batch system, where the folder of one pilot cannot be made."""

    @pytest.fixture(scope="class")
    @classmethod
    def scene(cls, tmp_path_factory: pytest.TempPathFactory) -> Scene:
        folder = tmp_path_factory.mktemp("obstacle")
        system = ShellBatch(folder / "spool", Door(environment=tuple(ENVIRONMENT.items())))
        pilots = folder / "pilots"
        return Scene(lambda: BatchElement(Here({}), system, str(pilots)), obstacle(pilots))


class TestProcesses(ComputingElementContract):
    """What the kind "ssh" does on a far host, on this one."""

    @pytest.fixture(scope="class")
    @classmethod
    def scene(cls, tmp_path_factory: pytest.TempPathFactory) -> Scene:
        folder = tmp_path_factory.mktemp("processes") / "pilots"
        system = Processes(str(folder), Door(environment=tuple(ENVIRONMENT.items())))
        return Scene(lambda: BatchElement(Here({}), system, str(folder)), obstacle(folder), unknown=f"{1:032x}")


def test_a_pipe_in_the_place_of_a_mark_keeps_no_order_waiting(tmp_path: Path) -> None:
    """What a pilot's jobs put into its folder does not keep it, nor others, from being ended."""
    (tmp_path / f"{1:032x}").mkdir()
    os.mkfifo(tmp_path / f"{1:032x}" / "started")
    element = BatchElement(Here({}, patience=20), Processes(str(tmp_path), Door()), str(tmp_path))
    assert asyncio.run(element.cancel([f"{1:032x}"])) == {}
