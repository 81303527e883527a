"""The part of the client that is about where pilots come from: sites and queues added, and pilots that come unsent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar
from urllib.parse import quote

import msgspec

from pilot.places import (
    AddQueueRequest,
    AddSiteRequest,
    BootstrapView,
    CanaryView,
    CheckReply,
    EnrolmentPage,
    EnrolmentView,
    OpenedEnrolment,
    OpenEnrolmentRequest,
    PlaceHistory,
    PlaceVersion,
    QueueDetail,
    RestoreQueueRequest,
    TestQueueRequest,
)
from pilotage.asking import Asking
from pilotage.transport import Request

T = TypeVar("T")


class CapacityPart(Asking):
    """Sites, queues and enrolments, for operators."""

    def add_site(self, name: str) -> PlaceVersion:
        """Add a site, for queues to be added to."""
        return self._said(PlaceVersion, "/v1/sites", AddSiteRequest(name))

    def remove_site(self, name: str) -> PlaceVersion:
        """Take away a site that was added."""
        return self._transport.ask(PlaceVersion, Request("DELETE", f"/v1/sites/{quote(name, safe='')}"))

    def add_queue(self, text: str, *, force: bool = False) -> PlaceVersion:
        """Add or change a queue: TOML, as in the settings. `force`: whatever its computing element says."""
        return self._said(PlaceVersion, "/v1/queues", AddQueueRequest(text, force))

    def queue(self, name: str) -> QueueDetail:
        """A queue's settings, and where they come from."""
        return self._get(QueueDetail, _path(name))

    def queue_history(self, name: str) -> tuple[PlaceVersion, ...]:
        """Every version of a queue that was added, the newest first."""
        return self._get(PlaceHistory, _path(name, "history")).versions

    def restore_queue(self, name: str, number: int, *, force: bool = False) -> PlaceVersion:
        """Make an older version the newest."""
        return self._said(PlaceVersion, _path(name, "restore"), RestoreQueueRequest(number, force))

    def remove_queue(self, name: str) -> PlaceVersion:
        """Take away a queue that was added; its versions stay."""
        return self._transport.ask(PlaceVersion, Request("DELETE", _path(name)))

    def check_queue(self, name: str) -> str:
        """What the queue's computing element answers now."""
        return self._transport.ask(CheckReply, Request("POST", _path(name, "check"))).said

    def test_queue(self, name: str) -> CanaryView:
        """Have one pilot sent that takes no jobs."""
        request = Request("POST", _path(name, "test"), body=msgspec.json.encode(TestQueueRequest()), repeatable=False)
        return self._transport.ask(CanaryView, request)

    def canary(self, name: str, stamp: str) -> CanaryView:
        """How such a pilot stands at the computing element now."""
        return self._get(CanaryView, _path(name, f"tests/{stamp}"))

    def open_enrolment(
        self, queue: str, *, pilots: int, seconds: int, communities: Sequence[str] = ()
    ) -> OpenedEnrolment:
        """Let so many pilots that nobody submitted enrol; the token is told this once."""
        request = OpenEnrolmentRequest(queue, pilots, seconds, tuple(communities))
        body = msgspec.json.encode(request)
        return self._transport.ask(OpenedEnrolment, Request("POST", "/v1/enrolments", body=body, repeatable=False))

    def enrolments(self) -> tuple[EnrolmentView, ...]:
        """All tokens for such pilots, the newest first, without the tokens."""
        return self._get(EnrolmentPage, "/v1/enrolments").enrolments

    def revoke_enrolment(self, number: int) -> EnrolmentView:
        """Let nobody in any more by that token; who is in stays."""
        return self._transport.ask(EnrolmentView, Request("DELETE", f"/v1/enrolments/{number}"))

    def enrolment_wrapper(self, queue: str, token_file: str) -> str:
        """The script that a site starts such pilots of a queue with."""
        answer = self._transport.send(Request("GET", _path(queue, "wrapper"), {"token_file": token_file}))
        return answer.content.decode()

    def bootstrap(self, queue: str) -> BootstrapView:
        """What such a pilot of a queue must be told."""
        return self._get(BootstrapView, _path(queue, "bootstrap"))

    def _said(self, kind: type[T], path: str, message: object) -> T:
        return self._transport.ask(kind, Request("POST", path, body=msgspec.json.encode(message)))


def _path(name: str, rest: str = "") -> str:
    return f"/v1/queues/{quote(name, safe='')}" + (f"/{rest}" if rest else "")
