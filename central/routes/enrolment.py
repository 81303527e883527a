"""A pilot becomes known, comes back, and goes: enrol, resume, renew, bye."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from central import aftermath
from central.events import PilotChanged
from central.fleet import unsent
from central.fleet.believing import sound
from central.fleet.roster import resumed_elsewhere
from central.records import PilotRow
from central.serving.audited import About
from central.serving.http import Call, Route
from central.trust.noting import of_communities
from central.trust.rules import Who
from central.trust.seal import PilotToken
from pilot import protocol
from pilot.errors import InvalidInput, Refusal
from pilot.protocol import (
    UNLIMITED,
    Accepted,
    EnrolReply,
    EnrolRequest,
    Fact,
    GoodbyeRequest,
    Ledger,
    RenewReply,
    RenewRequest,
    ResumeRequest,
)
from pilot.states import FAULTS, PilotState

KEY_BYTES = 32
#: Bytes of an enrolment, which anybody may send.
MAX_ENROLMENT = 256 * 1024
#: Reports and renewals are heard for so long after a pilot's end of life.
HEARD_AFTER = 86400.0


async def enrol(call: Call[EnrolRequest]) -> EnrolReply:
    """Trade the one-time secret for a token. The session key itself is kept nowhere but in the token."""
    central, request = call.central, call.message
    key = _session_key(request.session_key)
    secret_hash = _hash(request)
    stamp = call.text("stamp")
    key_hash = hashlib.sha256(key).hexdigest()
    try:
        row = await central.store.enrol(stamp, secret_hash, key_hash, request)
    except Refusal as refusal:
        if refusal.type != "unauthorized":
            raise
        await unsent.admit(central, stamp, secret_hash, request, refusal)
        row = await central.store.enrol(stamp, secret_hash, key_hash, request)
    central.roster.put(row)
    central.presence.touch(stamp, facts=request.facts)
    central.hub.publish(row.communities, PilotChanged(stamp, row.state))
    call.about = _about(row, request.facts)
    return await _reply(call, row, key)


async def is_expected(call: Call[EnrolRequest]) -> bool:
    """Whether the secret lets a pilot in now."""
    return await call.central.store.expects(call.text("stamp"), _hash(call.message))


async def resume(call: Call[ResumeRequest]) -> EnrolReply:
    """The same pilot again, after a reboot or a restart of its monitor. What ran before ends as node-fault."""
    central, token = call.central, call.pilot
    key_hash = hashlib.sha256(token.key).hexdigest()
    row, ended = await central.store.resume(token.stamp, key_hash, call.message.epoch, call.message.instance)
    central.roster.put(row)
    central.dispatcher.moved(token.stamp)
    central.presence.touch(token.stamp)
    await central.orders.reload(token.stamp)
    aftermath.ended(central, row, ended)
    call.about = replace(_about(row, ()), detail=f"epoch {row.epoch}, queue {row.queue}")
    return await _reply(call, row, token.key)


async def renew(call: Call[RenewRequest]) -> RenewReply:
    """A fresh token, also after the end of the old one."""
    central, token = call.central, call.pilot
    row = await central.roster.speaking(token)
    central.presence.touch(token.stamp)
    return RenewReply(seal(call, row, token.key), central.settings.service.token_life, central.wall())


async def bye(call: Call[GoodbyeRequest]) -> Accepted:
    """The pilot ends and says why. What it still held goes back to the queue.

    Raises ``superseded`` for a monitor that another has taken the place of: what runs is not its own any more.
    """
    central, stamp = call.central, call.pilot.stamp
    row = await central.roster.row(stamp, fresh=True)
    if call.pilot.epoch < row.epoch:
        raise resumed_elsewhere(row, call.pilot)
    said = replace(call.message, ledger=sound(row, call.message.ledger, central.wall()) or Ledger())
    ended = await central.store.goodbye(stamp, said)
    state = PilotState.FAILED if call.message.reason in FAULTS else PilotState.DONE
    aftermath.ended(central, row, ended)
    aftermath.gone(central, row, state, call.message.reason)
    return Accepted()


def _about(row: PilotRow, facts: Iterable[Fact]) -> About:
    """Its line of the audit."""
    host = next((str(fact.value) for fact in facts if fact.name == "host"), "")
    detail = f"queue {row.queue}" + (f", on {host}" if host else "")
    return About(row.stamp, detail, of_communities(row.communities), f"pilot {row.stamp}")


def seal(call: Call[Any], row: PilotRow, key: bytes) -> str:
    """A new token for a pilot."""
    now = call.central.wall()
    heard_until = None if row.ends is None else row.ends + HEARD_AFTER
    life = call.central.settings.service.token_life
    return call.central.ring.seal(PilotToken(row.stamp, row.epoch, key, now, now + life, heard_until))


async def _reply(call: Call[Any], row: PilotRow, key: bytes) -> EnrolReply:
    service = call.central.settings.service
    now = call.central.wall()
    return EnrolReply(row.epoch, seal(call, row, key), service.token_life, now, await _settings(call, row, now))


async def _settings(call: Call[Any], row: PilotRow, now: float) -> protocol.Settings:
    """How the pilot is to behave: by its queue's settings, for the communities that it was started for."""
    queue = call.central.settings.queue(row.queue)
    settings = queue.settings if queue else protocol.Settings(beat=call.central.settings.service.beat)
    pipeline, bundles = await call.central.bundles.told(queue, row.communities) if queue else ((), ())
    return replace(
        settings,
        pipeline=pipeline,
        bundles=bundles,
        communities=row.communities,
        lease=row.lease,
        end_of_life=UNLIMITED if row.ends is None else max(0, int(row.ends - now)),
    )


def _hash(request: EnrolRequest) -> str:
    return hashlib.sha256(request.secret.encode()).hexdigest()


def _session_key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise InvalidInput("session_key", f"expected {KEY_BYTES} bytes in base64")
    return key


ROUTES = (
    Route(
        "POST",
        "/v1/pilots/{stamp:stamp}/enrol",
        enrol,
        (Who.ANYBODY,),
        "Trade the one-time secret for a token",
        message=EnrolRequest,
        reply=EnrolReply,
        bound=MAX_ENROLMENT,
        audit="pilot.enrol",
        good=is_expected,
    ),
    Route(
        "POST",
        "/v1/pilots/{stamp:stamp}/resume",
        resume,
        (Who.AGED_PILOT,),
        "Come back after a reboot or a restart",
        message=ResumeRequest,
        reply=EnrolReply,
        audit="pilot.resume",
    ),
    Route(
        "POST",
        "/v1/pilots/{stamp:stamp}/renew",
        renew,
        (Who.AGED_PILOT,),
        "Get a fresh token",
        message=RenewRequest,
        reply=RenewReply,
    ),
    Route(
        "POST",
        "/v1/pilots/{stamp:stamp}/bye",
        bye,
        (Who.AGED_PILOT,),
        "End, and say why",
        message=GoodbyeRequest,
        reply=Accepted,
    ),
)
