"""Requests to S3 are signed here for attempts, with keys of the job's owner that never leave the central.

The attempt's own token asks, whether the pilot has it or the payload: it gets what the credentials named in the job
cover, while the attempt lives, and nothing else.
"""

from __future__ import annotations

from typing import cast

from central.records import CredentialRow, LiveAttempt, Note
from central.serving.http import Call, Route
from central.trust.delivering import unlocked
from central.trust.presigning import storage
from central.trust.rules import PayloadCaller, Who
from central.trust.seal import JobToken
from central.trust.uploading import Place, address, check, download, upload
from pilot.credential import reaching
from pilot.errors import Refusal
from pilot.transfers import DownloadReply, DownloadRequest, UploadReply, UploadRequest

#: Seconds that a signed request is good for: a part takes minutes, and whoever needs longer asks again.
LIFE = 3600
#: Bytes of a request.
MAX_REQUEST = 16 * 1024
_PATH = "/v1/attempts/{job:number}/{attempt:number}"


async def uploads(call: Call[UploadRequest]) -> UploadReply:
    """Say how to store one file: a request for all of it, or how to begin, go on and end with it in parts."""
    check(call.message)
    return upload(await _place(call, call.message.destination, "destination"), call.message)


async def downloads(call: Call[DownloadRequest]) -> DownloadReply:
    """Say how to fetch what lies at an address."""
    return download(await _place(call, call.message.source, "source"))


async def _place(call: Call[UploadRequest] | Call[DownloadRequest], url: str, where: str) -> Place:
    """The object, with the key that opens it. Raises ``invalid``, ``forbidden``, ``stale-attempt``."""
    central, token = call.central, _token(call)
    bucket, key = address(url, where)
    live = await central.store.live_attempt(token.job, token.attempt)
    detail = await central.store.job(live.community, token.job)
    rows = await central.store.credentials(live.community, detail.job.owner, detail.credentials)
    row = _closest(rows, url)
    if row is None:
        raise Refusal("forbidden", f"no credential of the kind s3 that job {token.job} names is for {url[:200]}")
    now = central.wall()
    values = unlocked(central.vault, row, now)
    if (await central.roster.row(live.stamp)).alarm:
        values = "is not used for a pilot with an alarm, until somebody has looked at it"
    if isinstance(values, str):
        await _note(call, live, row, "refused", f"it {values}")
        raise Refusal("forbidden", f"the credential {row.name} {values}")
    await _note(call, live, row, "signed", f"first for s3://{bucket}")
    seconds = LIFE if row.expires is None else max(1, min(LIFE, int(row.expires - now)))
    return Place(storage(values), bucket, key, now, seconds)


async def _note(
    call: Call[UploadRequest] | Call[DownloadRequest], live: LiveAttempt, row: CredentialRow, what: str, detail: str
) -> None:
    """Write it down, once for an attempt: it may ask for ten thousand files."""
    if call.central.signings.first(live.job, live.attempt, f"{what} {row.name}"):
        who = f"pilot {live.stamp}"
        note = Note(who, f"credential.{what}", row.community, row.owner, row.name, live.job, live.attempt, detail)
        await call.central.store.note((note,))


def _token(call: Call[UploadRequest] | Call[DownloadRequest]) -> JobToken:
    """The token, which is of this very attempt. Raises ``forbidden``."""
    token = cast(PayloadCaller, call.caller).token
    if (token.job, token.attempt) != (call.number("job"), call.number("attempt")):
        raise Refusal("forbidden", f"this token is of attempt {token.attempt} of job {token.job}")
    return token


def _closest(rows: tuple[CredentialRow, ...], url: str) -> CredentialRow | None:
    """The one whose URLs say most of the address."""
    found = [(reaching(row.urls, url), row) for row in rows if row.kind == "s3"]
    best = max(found, key=lambda one: one[0], default=None)
    return best[1] if best is not None and best[0] >= 0 else None


ROUTES = (
    Route(
        "POST",
        f"{_PATH}/uploads",
        uploads,
        (Who.PAYLOAD,),
        "Have an upload to S3 signed",
        message=UploadRequest,
        reply=UploadReply,
        bound=MAX_REQUEST,
    ),
    Route(
        "POST",
        f"{_PATH}/downloads",
        downloads,
        (Who.PAYLOAD,),
        "Have a download from S3 signed",
        message=DownloadRequest,
        reply=DownloadReply,
        bound=MAX_REQUEST,
    ),
)
