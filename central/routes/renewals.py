"""A working pilot asks for credentials that were set anew since it was given them with its leases."""

from __future__ import annotations

from central.serving.http import Call, Route
from central.trust import renewing
from central.trust.rules import Who
from pilot.renewals import CredentialsReply, CredentialsRequest


async def credentials(call: Call[CredentialsRequest]) -> CredentialsReply:
    """Give what is newer, of the attempts that this pilot holds now."""
    await call.central.roster.speaking(call.pilot)
    call.central.presence.touch(call.pilot.stamp)
    return await renewing.newer(call.central, call.pilot.stamp, call.message)


ROUTES = (
    Route(
        "POST",
        "/v1/pilots/{stamp:stamp}/credentials",
        credentials,
        (Who.PILOT,),
        "Ask for credentials that were set anew",
        message=CredentialsRequest,
        reply=CredentialsReply,
    ),
)
