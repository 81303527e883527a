"""Has access tokens made with the refresh tokens that people keep here, and keeps both, sealed, where the others are.

Of several centrals one asks: a refresh token may be good for one question alone. Whoever asks writes that down first,
in the row itself and only if nobody else has changed it; the others wait for what comes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from central.records import CredentialRow, Note
from central.store.port import Store
from central.trust import access_tokens
from central.trust.access_tokens import NotRefreshed, Question, Said
from central.trust.vault import Unopened, Vault
from pilot.credential import covers
from pilot.errors import PilotageError

log = logging.getLogger(__name__)

#: Bytes of one answer, and seconds for it.
MOST_ANSWERED, PATIENCE = 256 * 1024, 10.0
#: Questions at the same time, of one process: to one endpoint, and to all.
AT_ONCE, OF_ALL = 4, 32
#: Seconds for which what is being asked for is waited for, here or by another central.
WAIT = 15.0
#: Questions of one owner in a minute, of one process: an endpoint is not to be tried out from here.
OF_ONE, SPAN = 30, 60.0
#: Seconds between looks at what another central is asking for.
LOOK = 0.2
#: Times that what came is written where a row was sealed anew meanwhile or the store is in trouble, and seconds until
#: the next try then.
TRIES, PAUSE = 5, 2.0

Rows = Mapping[tuple[str, str], Mapping[str, CredentialRow]]
Ask = Callable[[Question], Said]


class Refreshing:
    """For one central. `allowed`: the beginnings of URLs that it may ask; `wall` is the database's time."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        ask: Ask,
        allowed: Callable[[], Sequence[str]],
        wall: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._store = store
        self._vault = vault
        self._ask = ask
        self._allowed = allowed
        self._wall = wall
        self._sleep = sleep
        # Of each endpoint its own: one that is slow keeps nobody waiting who asks another.
        self._rooms: dict[str, asyncio.Semaphore] = {}
        self._room = asyncio.Semaphore(OF_ALL)
        # Of its own: nobody else waits for endpoints. Threads start when they are needed.
        self._threads = ThreadPoolExecutor(OF_ALL, "refreshing")
        self._questions: dict[bytes, asyncio.Task[CredentialRow | None]] = {}  # by what is sealed in the row
        self._asked_by: Counter[tuple[str, str]] = Counter()
        self._since = float("-inf")

    def may_ask(self, url: str) -> bool:
        """Whether the operator lets this central speak to that address."""
        return any(covers(beginning, url) for beginning in self._allowed())

    async def fresh(self, rows: Rows) -> Rows:
        """The same rows, those with refresh tokens with an access token that has most of its life, where one can be
        had."""
        every = [row for named in rows.values() for row in named.values()]
        if not any(map(access_tokens.is_refreshed, every)):
            return rows
        fresh = iter(await asyncio.gather(*map(self.row, every)))
        return {whose: {name: next(fresh) for name in named} for whose, named in rows.items()}

    async def row(self, row: CredentialRow) -> CredentialRow:
        """The same for one. Never raises for what the endpoint does: that is told where the row is used."""
        if not access_tokens.is_refreshed(row):
            return row
        end = self._wall() + WAIT
        while (values := self.values(row)) is not None:
            now = self._wall()
            if access_tokens.due(values, now):
                task = self._begin(row, values)
                # Whoever waits for it may go: what comes is written down all the same.
                done, _ = await asyncio.wait({task}, timeout=WAIT)
                asked = task.result() if done else row
                if asked is not None:
                    return asked
            elif access_tokens.usable(values, now) or not access_tokens.asking(values, now) or now > end:
                return row
            else:
                await self._sleep(LOOK)
            again = await self._again(row)
            if again is None:
                return row
            row = again
        return row

    async def idle(self) -> None:
        """Wait until nothing is being asked, for a while at most."""
        if self._questions:
            await asyncio.wait(set(self._questions.values()), timeout=WAIT)

    async def close(self) -> None:
        """Wait for what is being asked: a refresh token that comes with an answer is the only one that is good."""
        await self.idle()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _begin(self, row: CredentialRow, values: Mapping[str, str]) -> asyncio.Task[CredentialRow | None]:
        """The question for a row as it is; one for all that want it."""
        task = self._questions.get(row.sealed)
        if task is None:
            task = self._questions[row.sealed] = asyncio.create_task(self._question(row, values))
            task.add_done_callback(lambda _: self._questions.pop(row.sealed))
        return task

    async def _question(self, row: CredentialRow, values: Mapping[str, str]) -> CredentialRow | None:
        """Ask, in turn; None where somebody else has changed the row."""
        async with self._room_of(values["token_url"]), self._room:
            begun = await self._put(row, access_tokens.begun(values, self._wall()))
            return None if begun is None else await self._asked(begun, values)

    def _room_of(self, url: str) -> asyncio.Semaphore:
        """That of the endpoint, as the settings name it: so there are no more of them than these have."""
        beginning = next((one for one in self._allowed() if covers(one, url)), "")
        return self._rooms.setdefault(beginning, asyncio.Semaphore(AT_ONCE))

    def values(self, row: CredentialRow) -> dict[str, str] | None:
        """What is in it; None for one that cannot be opened, or has expired."""
        if row.expires is not None and row.expires <= self._wall():
            return None
        try:
            return self._vault.open(row)
        except Unopened:
            return None  # told where it is used

    async def _asked(self, row: CredentialRow, values: Mapping[str, str]) -> CredentialRow:
        asked = self._wall()
        try:
            if not self.may_ask(values["token_url"]):
                raise NotRefreshed("this central is not allowed to speak to its token endpoint any more")
            self._count(row)
            question = access_tokens.question(values)
            came = await asyncio.get_running_loop().run_in_executor(self._threads, self._ask, question)
            new = access_tokens.answered(values, came, asked)
            what, detail = "refreshed", f"for {float(new[access_tokens.ENDS]) - asked:.0f} s"
        except (OSError, ValueError, HTTPError, NotRefreshed) as error:  # those of requests are an OSError
            why = error if isinstance(error, NotRefreshed) else _no_answer(error)
            log.warning("The credential %s of %s is not refreshed: %s", row.name, row.owner, why)
            new = access_tokens.failed({**values, access_tokens.TRIED: repr(asked)}, why, self._wall())
            what, detail = "refused", f"it could not be refreshed: {why}"
        kept = await self._keep(row, new)
        line = Note("the central", f"credential.{what}", row.community, row.owner, row.name, detail=detail)
        await self._store.note([line])
        return kept

    def _count(self, row: CredentialRow) -> None:
        """Raises `NotRefreshed` when its owner has had too much asked."""
        now = self._wall()
        if not 0 <= now - self._since < SPAN:
            self._since = now
            self._asked_by.clear()
        self._asked_by[row.community, row.owner] += 1
        if self._asked_by[row.community, row.owner] > OF_ONE:
            why = "its owner had too many of them refreshed in the last minute"
            raise NotRefreshed(why, passing=True, retry_after=SPAN)

    async def _keep(self, row: CredentialRow, values: Mapping[str, str]) -> CredentialRow:
        """Write down what came. A row that was only put under another key meanwhile is written all the same: what it
        held before may be good for nothing."""
        for _ in range(TRIES):
            try:
                kept = await self._put(row, values)
                again = kept or await self._again(row)
            except (PilotageError, OSError) as error:
                log.warning("What came for the credential %s of %s is not kept yet: %s", row.name, row.owner, error)
                await self._sleep(PAUSE)
                continue
            if kept is not None:
                return kept
            if again is None or again.changed != row.changed:
                return again or row  # removed, or set anew by its owner
            row = again
        log.error("What came for the credential %s of %s was not kept", row.name, row.owner)
        return row

    async def _put(self, row: CredentialRow, values: Mapping[str, str]) -> CredentialRow | None:
        """The row with these values, unless it is another one by now."""
        new = self._vault.seal(row, values)
        return new if await self._store.reseal_credential(row, new.key_id, new.sealed) else None

    async def _again(self, row: CredentialRow) -> CredentialRow | None:
        found = await self._store.credentials(row.community, row.owner, [row.name])
        return next((one for one in found if one.kind == row.kind), None)


def _no_answer(error: Exception) -> NotRefreshed:
    """Of an error of the connection the class alone is told: its words may have the address with what is in it.

    An address that is none is for its owner to mend; requests has errors for that which are both.
    """
    return NotRefreshed(f"no answer ({type(error).__name__})", passing=not isinstance(error, ValueError))


def ask_with(ca: str) -> Ask:
    """Sends a question over TLS, in bounded time, with a bounded answer, and nowhere else. `ca`: a file; empty: the
    system's."""

    def ask(what: Question) -> Said:
        end = time.monotonic() + PATIENCE
        headers = {"Accept": "application/json", "User-Agent": "pilotage"}
        if what.authorization:
            headers["Authorization"] = what.authorization
        with requests.Session() as session:
            session.proxies.update(requests.utils.get_environ_proxies(what.url))
            session.trust_env = False  # a password of somebody's ~/.netrc would go along
            session.verify = ca or True
            with session.post(
                what.url, data=what.form, headers=headers, timeout=PATIENCE, stream=True, allow_redirects=False
            ) as response:
                body = body_of(response.raw, end)
                return Said(response.status_code, body, response.headers.get("Retry-After", ""))

    return ask


def body_of(raw: Any, end: float) -> bytes:
    """An answer's body, which must have come by `end`. One that is too long is cut, and is no JSON then."""
    read = bytearray()
    # What has come, be it a byte: a part of a certain length would be waited for, however slowly it comes.
    while len(read) <= MOST_ANSWERED and (part := raw.read1(65_536, decode_content=True)):
        read += part
        if time.monotonic() > end:
            raise TimeoutError
    return bytes(read[:MOST_ANSWERED])
