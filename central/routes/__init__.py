"""Everything that can be asked of the central, as one table."""

from __future__ import annotations

from typing import Any

from central.routes import (
    attempts,
    audit,
    bundles,
    canaries,
    certificate_login,
    communities,
    credentials,
    enrolment,
    enrolments,
    fleet,
    jobs,
    log_search,
    login,
    logs,
    members,
    peek,
    places,
    queues,
    renewals,
    sandboxes,
    storage,
    submission,
    system,
    tokens,
    usage,
    work,
)
from central.serving.http import Route

#: The pilots' routes first: they are asked for most.
TABLE: tuple[Route[Any], ...] = (
    *work.ROUTES,
    *attempts.ROUTES,
    *renewals.ROUTES,
    *logs.ROUTES,
    *log_search.ROUTES,
    *peek.ROUTES,
    *sandboxes.ROUTES,
    *storage.ROUTES,
    *enrolment.ROUTES,
    *submission.ROUTES,
    *jobs.ROUTES,
    *fleet.ROUTES,
    *queues.ROUTES,
    *places.ROUTES,
    *canaries.ROUTES,
    *enrolments.ROUTES,
    *usage.ROUTES,
    *credentials.ROUTES,
    *communities.ROUTES,
    *members.ROUTES,
    *tokens.ROUTES,
    *login.ROUTES,
    *bundles.ROUTES,
    *audit.ROUTES,
    *system.ROUTES,
)

#: What is asked for at the port for certificates, and nothing else there.
CERTIFICATE_TABLE = certificate_login.ROUTES
#: At whatever port.
EVERY_ROUTE = (*TABLE, *CERTIFICATE_TABLE)
