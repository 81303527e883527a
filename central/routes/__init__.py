"""Everything that can be asked of the central, as one table."""

from __future__ import annotations

from typing import Any

from central.http import Route
from central.routes import attempts, enrolment, fleet, jobs, logs, sandboxes, submission, system, usage, work

#: The pilots' routes first: they are asked for most.
TABLE: tuple[Route[Any], ...] = (
    *work.ROUTES,
    *attempts.ROUTES,
    *logs.ROUTES,
    *sandboxes.ROUTES,
    *enrolment.ROUTES,
    *submission.ROUTES,
    *jobs.ROUTES,
    *fleet.ROUTES,
    *usage.ROUTES,
    *system.ROUTES,
)
