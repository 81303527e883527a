"""The part of the client that is about credentials: secrets that jobs get with their lease. Values are never read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote

import msgspec

from pilot.credential import (
    CredentialEvent,
    CredentialHistory,
    CredentialPage,
    CredentialRemoved,
    CredentialRequest,
    CredentialView,
    Kind,
)
from pilotage.asking import Asking
from pilotage.transport import Request


class CredentialsPart(Asking):
    """One's own credentials. `owner` is for community-admins, who may list and remove those of others."""

    def keep_credential(
        self,
        name: str,
        kind: Kind,
        values: Mapping[str, str],
        urls: Iterable[str] = (),
        expires_in: int | None = None,
    ) -> CredentialView:
        """Keep a secret under a name, in the place of the one that has it.

        `values`: ``text`` of a text, ``token`` of a bearer, ``user`` and ``password`` of a basic; ``endpoint``,
        ``access_key``, ``secret_key`` and where needed ``region``, ``style``, ``session_token`` of an s3; ``proxy`` of
        an x509-proxy; ``token_url``, ``client_id``, ``refresh_token`` and where needed ``client_secret``, ``scope``,
        ``audience`` of a refresh-token; ``id`` and ``secret`` of an application-credential; ``access_key``,
        ``secret_key`` and where needed ``session_token`` of an access-key.

        The pilot itself uses it for what lies below `urls`; payloads find it in files, but for the keys of an s3 and
        what makes the tokens of a refresh-token, which stay at the central. `expires_in` is in seconds. Jobs that run
        with the one before get it in its place: `running` of what is returned says how many.
        """
        message = CredentialRequest(kind, dict(values), tuple(urls), expires_in)
        request = Request("PUT", _path(name), body=msgspec.json.encode(message))
        return self._transport.ask(CredentialView, request)

    def credentials(self, owner: str | None = None) -> tuple[CredentialView, ...]:
        """All of them, by name, without what is secret."""
        return self._get(CredentialPage, "/v1/credentials", {"owner": owner}).credentials

    def remove_credential(self, name: str, owner: str | None = None) -> int:
        """Remove one. Attempts that have it keep it until their end; jobs that name it are held when their turn comes.

        Returns how many such jobs wait, counted up to 10,000. Raises the refusal ``not-found``.
        """
        query = {"owner": owner} if owner else None
        return self._transport.ask(CredentialRemoved, Request("DELETE", _path(name), query, repeatable=False)).waiting

    def credential_history(self, name: str, owner: str | None = None) -> tuple[CredentialEvent, ...]:
        """What was done with one, the newest first; also after it was removed."""
        return self._get(CredentialHistory, f"{_path(name)}/history", {"owner": owner}).events


def _path(name: str) -> str:
    return f"/v1/credentials/{quote(name, safe='')}"
