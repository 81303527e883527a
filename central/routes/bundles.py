"""Bundles of communities' commands, and the pipelines that they are for."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from starlette.responses import Response

from central.serving.audited import About
from central.serving.http import Call, Route
from central.trust.rules import Who, community_of
from pilot.bundles import MAX_SIZE
from pilot.errors import InvalidInput
from pilot.pipelines import BundlePage, BundleView, PinRequest, PipelinePage
from pilot.protocol import Accepted


@dataclass(frozen=True)
class PublishQuery:
    """`signature`: 64 bytes in the URL's base64. `use`: put it into use at once. `community`: for operators."""

    signature: str
    use: bool = True
    community: str | None = None


@dataclass(frozen=True)
class CommunityQuery:
    """`community`: for operators; others mean their own."""

    community: str | None = None


async def publish(call: Call[bytes]) -> BundleView:
    """Take in a bundle that its community has signed."""
    query = call.query(PublishQuery)
    try:
        signature = base64.urlsafe_b64decode(query.signature)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput("signature", f"expected 64 bytes in the URL's base64: {error}") from error
    community, detail = _community(call, query.community), f"{call.text('sha256')}{'' if query.use else ', not in use'}"
    call.about = About(detail=detail, community=community)
    return await call.central.bundles.take_in(
        community,
        call.text("name"),
        call.text("sha256"),
        call.message,
        signature,
        call.person.user,
        query.use,
    )


async def page(call: Call[None]) -> BundlePage:
    """The bundles that the caller may see."""
    return BundlePage(await call.central.bundles.views(community_of(call.person)))


async def get(call: Call[None]) -> Response:
    """The bytes of a bundle. Who knows its digest was told by the central: pilots, and those who published it."""
    content = await call.central.bundles.content(call.text("sha256"))
    return Response(content, media_type="application/zip")


async def pin(call: Call[PinRequest]) -> Accepted:
    """Put a bundle into use: pilots that enrol from now on get it."""
    community = _community(call, call.query(CommunityQuery).community)
    await call.central.bundles.pin(community, call.text("name"), call.message.sha256, call.person.user)
    call.about = About(detail=call.message.sha256, community=community)
    return Accepted()


async def roll_back(call: Call[None]) -> PinRequest:
    """Put into use what was before. Says what that is."""
    community = _community(call, call.query(CommunityQuery).community)
    sha256 = await call.central.bundles.roll_back(community, call.text("name"), call.person.user)
    call.about = About(detail=sha256, community=community)
    return PinRequest(sha256)


async def pipelines(call: Call[None]) -> PipelinePage:
    """What the pilots of each queue run that serves the caller, and why they could not."""
    return PipelinePage(await call.central.bundles.pipelines(community_of(call.person)))


def _community(call: Call[None] | Call[bytes] | Call[PinRequest], named: str | None) -> str:
    """Whose bundle: the caller's community's, or for an operator the one that is named. Raises `InvalidInput`."""
    own = community_of(call.person)
    if own is not None and named not in (None, own):
        raise InvalidInput("community", f"expected {own}: only operators act for other communities")
    return named or call.person.community


_NAMED = "/v1/bundles/{name:name}"
ROUTES = (
    Route("GET", "/v1/bundles", page, (Who.MEMBER,), "List bundles", reply=BundlePage),
    Route("GET", "/v1/bundles/{sha256:sha256}", get, (Who.ANYBODY,), "Fetch a bundle", media="application/zip"),
    Route(
        "PUT",
        _NAMED + "/{sha256:sha256}",
        publish,
        (Who.COMMUNITY_ADMIN,),
        "Publish a bundle",
        message=bytes,
        reply=BundleView,
        query=PublishQuery,
        bound=MAX_SIZE,
        status=201,
        audit="bundle.publish",
    ),
    Route(
        "POST",
        _NAMED + "/pin",
        pin,
        (Who.COMMUNITY_ADMIN,),
        "Put a bundle into use",
        message=PinRequest,
        reply=Accepted,
        query=CommunityQuery,
        audit="bundle.pin",
    ),
    Route(
        "POST",
        _NAMED + "/rollback",
        roll_back,
        (Who.COMMUNITY_ADMIN,),
        "Put into use what was before",
        reply=PinRequest,
        query=CommunityQuery,
        audit="bundle.rollback",
    ),
    Route("GET", "/v1/pipelines", pipelines, (Who.MEMBER,), "What pilots run", reply=PipelinePage),
)
