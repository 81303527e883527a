"""What people ask and are told about bundles and pipelines, at ``/v1/bundles`` and ``/v1/pipelines``."""

from __future__ import annotations

from dataclasses import dataclass

from pilot.protocol import VERSION, Step
from pilot.standard import CommandRecord


@dataclass(frozen=True)
class BundleView:
    """A bundle that was published. Times are seconds since the epoch."""

    community: str
    name: str
    sha256: str
    size: int  # bytes
    who: str
    created: float
    in_use: bool
    commands: tuple[CommandRecord, ...] = ()


@dataclass(frozen=True)
class BundlePage:
    bundles: tuple[BundleView, ...]
    version: int = VERSION


@dataclass(frozen=True)
class PinRequest:
    """Put the bundle with this digest into use under its name."""

    sha256: str
    version: int = VERSION


@dataclass(frozen=True)
class PipelineView:
    """What the pilots of a queue run, and why they could not."""

    queue: str
    site: str
    community: str  # whose layers and bundles count; empty: a queue for several has nobody's
    steps: tuple[Step, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class PipelinePage:
    pipelines: tuple[PipelineView, ...]
    version: int = VERSION
