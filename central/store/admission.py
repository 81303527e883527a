"""Who may enrol and who may come back: decided by a pilot's row, the same in every store."""

from __future__ import annotations

import hmac

from central.added import EnrolmentRow
from central.records import moment
from central.store import codec
from central.store.rows import Row
from pilot.errors import Refusal
from pilot.states import ENROLLED, LIVE_PILOT, PilotState


def same(digest: str, known: str | None) -> bool:
    """Whether two digests of secrets are equal; how long that takes does not tell where they begin to differ."""
    return known is not None and hmac.compare_digest(digest.encode(), known.encode())


def not_expected() -> Refusal:
    """The same for a stamp that nobody knows and for a wrong secret."""
    return Refusal("unauthorized", "No pilot is expected under this stamp with this secret.")


def not_known() -> Refusal:
    """The same for a stamp that nobody knows and for a wrong session key."""
    return Refusal("unauthorized", "No pilot is known under this stamp with this session key.")


def secret_problem(known: Row, stamp: str, secret_hash: str, now: float) -> Refusal | None:
    """Why a pilot may not trade that secret; None: it may, or it has. A secret that was traded does not age."""
    if any(same(secret_hash, old) for old in codec.texts(known["old_secrets"])):
        return Refusal("superseded", f"Pilot {stamp} was submitted again with a new secret.")
    if not same(secret_hash, known["secret_hash"]):
        return not_expected()
    if PilotState(known["state"]) not in LIVE_PILOT:
        return Refusal("revoked", f"Pilot {stamp} is {known['state']}: its secret has ended with it.")
    if known["key_hash"] is None and now > known["secret_expires"]:
        late = now - known["secret_expires"]
        return Refusal("secret-expired", f"The secret of pilot {stamp} is {late:.0f} s too old.")
    return None


def second_key(stamp: str, instance: str, now: float) -> tuple[str, Refusal]:
    """The alarm, and the answer, when a secret that was traded comes with another session key."""
    where = f" from instance {instance}" if instance else ""
    alarm = f"at {moment(now)} its secret came again with another session key{where}"
    return alarm, Refusal("secret-used", f"Pilot {stamp} has enrolled with another session key; the operator is told.")


def comes_again(known: Row, stamp: str, key_hash: str, epoch: int, instance: str) -> bool:
    """Whether a pilot that comes back has done so before, and the answer was lost. Raises what forbids it."""
    if not same(key_hash, known["key_hash"]):
        raise not_known()
    if PilotState(known["state"]) not in ENROLLED:
        raise Refusal("revoked", f"Pilot {stamp} is {known['state']} and cannot come back.")
    if known["instance"] and instance and known["instance"] != instance:
        raise Refusal(
            "revoked",
            f"Pilot {stamp} belongs to another machine.",
            expected=f"instance {known['instance']}",
            got=f"instance {instance}",
        )
    if known["epoch"] not in (epoch, epoch + 1):
        raise Refusal(
            "superseded",
            f"Pilot {stamp} has gone on without you.",
            expected=f"epoch {known['epoch']}",
            got=f"epoch {epoch}",
        )
    return bool(known["epoch"] == epoch + 1)


def token_problem(token: EnrolmentRow, now: float) -> Refusal | None:
    """Why a token lets no further pilot in; None: it does."""
    if token.revoked is not None:
        return Refusal("revoked", f"The enrolment token {token.id} was revoked by {token.revoked_by}.")
    if now > token.expires:
        return Refusal("secret-expired", f"The enrolment token {token.id} is {now - token.expires:.0f} s too old.")
    if token.used >= token.pilots:
        return Refusal("secret-used", f"The enrolment token {token.id} has let in all of its {token.pilots} pilots.")
    return None


def expected(known: Row | None, token: EnrolmentRow | None, stamp: str, secret_hash: str, now: float) -> bool:
    """Whether a pilot is let in by what it shows. `known`: its row; `token`: the one with that secret."""
    if known is not None:
        return secret_problem(known, stamp, secret_hash, now) is None
    return token is not None and token_problem(token, now) is None


def no_enrolment(number: int) -> Refusal:
    return Refusal("not-found", f"There is no enrolment token {number}.")
