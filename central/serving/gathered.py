"""The figures of processes that serve one folder side by side, gathered for whoever asks one of them.

Each writes its own into a file now and then; the one that is asked puts them together, with the label `worker`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from prometheus_client.core import Metric


class _Family(msgspec.Struct, array_like=True):
    """One metric: its name, what it is, its type, and its samples (name, labels, value)."""

    name: str
    help: str
    type: str
    samples: list[tuple[str, dict[str, str], float]]


def encode(families: Iterable[Metric]) -> bytes:
    """Figures, to be kept in a file."""
    return msgspec.json.encode(
        [
            _Family(
                one.name,
                one.documentation,
                one.type,
                [(sample.name, sample.labels, sample.value) for sample in one.samples],
            )
            for one in families
        ]
    )


def decode(content: bytes) -> list[Metric]:
    """Figures out of a file. Raises `msgspec.MsgspecError`."""
    return [_metric(one) for one in msgspec.json.decode(content, type=list[_Family])]


def _metric(family: _Family) -> Metric:
    metric = Metric(family.name, family.help, family.type)
    for name, labels, value in family.samples:
        metric.add_sample(name, labels, value)
    return metric


class Together:
    """Figures of several processes as one registry: every family once, every sample with its worker."""

    def __init__(self, of_worker: Iterable[tuple[int, Iterable[Metric]]]) -> None:
        self._families: dict[str, Metric] = {}
        for worker, families in of_worker:
            for one in families:
                self._add(worker, one)

    def _add(self, worker: int, one: Metric) -> None:
        family = self._families.setdefault(one.name, Metric(one.name, one.documentation, one.type))
        for sample in one.samples:
            family.add_sample(sample.name, {**sample.labels, "worker": str(worker)}, sample.value)

    def collect(self) -> Iterator[Metric]:
        yield from self._families.values()


class Neighbours:
    """The files, one for each worker."""

    def __init__(self, folder: Path, worker: int) -> None:
        self._folder = folder
        self._worker = worker

    def clear(self) -> None:
        """Forget workers of another time."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        for path in self._folder.glob("*.figures*"):
            path.unlink(missing_ok=True)

    def write(self, figures: bytes) -> None:
        """What this worker counts, whole or not at all."""
        path = self._folder / f"{self._worker}.figures"
        aside = path.with_name(f"{path.name}.{os.getpid()}")
        aside.write_bytes(figures)
        aside.replace(path)

    def read(self) -> Iterator[tuple[int, list[Metric]]]:
        """What the others counted when they wrote last."""
        for path in sorted(self._folder.glob("*.figures")):
            number = path.name.partition(".")[0]
            if number.isdigit() and int(number) != self._worker:
                try:
                    yield int(number), decode(path.read_bytes())
                except (OSError, msgspec.MsgspecError):  # being written for the first time, or of another version
                    continue
