"""The part of the client that is about bundles of commands, and the pipelines that they are for."""

from __future__ import annotations

import base64

import msgspec

from pilot.pipelines import BundlePage, BundleView, PinRequest, PipelinePage, PipelineView
from pilot.protocol import Accepted
from pilotage.asking import Asking
from pilotage.transport import Request


class PipelinesPart(Asking):
    """Bundles and pipelines. `community` is for operators: others act for their own."""

    def publish_bundle(
        self,
        name: str,
        sha256: str,
        content: bytes,
        signature: bytes,
        *,
        use: bool = True,
        community: str | None = None,
    ) -> BundleView:
        """Hand over a bundle that its community has signed; `use`: pilots that enrol from now on get it."""
        query = {
            "signature": base64.urlsafe_b64encode(signature).decode(),
            "use": "true" if use else "false",
            **_whose(community),
        }
        headers = {"Content-Type": "application/zip"}
        request = Request("PUT", f"/v1/bundles/{name}/{sha256}", query, content, headers)
        return self._transport.ask(BundleView, request)

    def bundles(self) -> tuple[BundleView, ...]:
        """The bundles of the own community; for operators, all."""
        return self._get(BundlePage, "/v1/bundles").bundles

    def pin_bundle(self, name: str, sha256: str, *, community: str | None = None) -> None:
        """Put a published bundle into use."""
        body = msgspec.json.encode(PinRequest(sha256))
        self._transport.ask(Accepted, Request("POST", f"/v1/bundles/{name}/pin", _whose(community), body))

    def roll_back_bundle(self, name: str, *, community: str | None = None) -> str:
        """Put into use what was before. Returns its SHA-256."""
        request = Request("POST", f"/v1/bundles/{name}/rollback", _whose(community), repeatable=False)
        return self._transport.ask(PinRequest, request).sha256

    def pipelines(self) -> tuple[PipelineView, ...]:
        """What the pilots of each queue run, and why they could not."""
        return self._get(PipelinePage, "/v1/pipelines").pipelines


def _whose(community: str | None) -> dict[str, str | int]:
    return {"community": community} if community else {}
