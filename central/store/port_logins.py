"""The part of the store's port that is about logins: one ID token is exchanged once, whichever central it is shown."""

from __future__ import annotations

from typing import Protocol


class LoginStore(Protocol):
    """ID tokens that were exchanged already."""

    async def spend_id_token(self, digest: str, seconds: float) -> bool:
        """Note that it is exchanged now, for as long as it could be shown again. False: it was before."""
