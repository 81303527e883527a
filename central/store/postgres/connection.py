"""Connections to the database server, and what its errors mean to whoever asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

import asyncpg

from pilot.errors import PilotageError, Refusal

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    #: One connection, as the verbs use it.
    Database: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    #: A row; its values by name.
    Row: TypeAlias = asyncpg.Record

#: Connections of one central: for the verbs that share transactions, which are under way one batch of each kind at a
#: time, and for looks beside them; and for all others.
HOT_CONNECTIONS = 7
CONNECTIONS = 10
#: Seconds after which a statement is planned anew: a plan made for an empty table is none for a full one.
PLAN_SECONDS = 20
#: Seconds for one statement, and after which one whose answer does not come is given up.
STATEMENT_TIMEOUT = 30.0
COMMAND_TIMEOUT = 40.0
CONNECT_TIMEOUT = 10.0
#: Seconds after which one who was refused because the database is away or full may ask again.
RETRY_AFTER = 5.0

# For every connection: plans are not worth a compiler, and nobody holds locks while doing nothing.
_SETTINGS: Mapping[str, str] = {
    "application_name": "pilotage",
    "statement_timeout": f"{STATEMENT_TIMEOUT:.0f}s",
    "idle_in_transaction_session_timeout": f"{STATEMENT_TIMEOUT:.0f}s",
    "jit": "off",
}
# For verbs that come hundreds of times a second: planned once, and by the indexes, whatever the statistics of a table
# that has just been filled say.
_HOT: Mapping[str, str] = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}

# The server or the way to it is away, for now.
_GONE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InternalClientError,  # what a connection says on which the server's last word was not asked for
)
# Two transactions were in each other's way; one of them was undone.
_CLASH = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
# It is there and cannot do this now.
_TRANSIENT = (
    *_CLASH,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.PostgresSystemError,
)
# What a client sent that no column keeps. `DataError` of asyncpg is raised before anything is sent.
_INVALID = (asyncpg.exceptions.DataError, asyncpg.DataError, UnicodeEncodeError, OverflowError)


class _Connection(asyncpg.Connection):
    """Given back as it is: no verb leaves anything behind but its transaction, so a round trip is spared."""

    def get_reset_query(self) -> str:
        return ""


def checked(url: str) -> str:
    """The URL, if it has no password: it would be seen in process lists and logs."""
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres"):
        raise PilotageError(f"database: expected postgresql://[user@]host[:port]/name, got the scheme {parts.scheme!r}")
    if parts.password is not None or "password" in parse_qs(parts.query):
        raise PilotageError(
            "database: expected a URL without a password; write that into the file ~/.pgpass (mode 0600), or into "
            "another one that the URL names as ?passfile=PATH"
        )
    return url


async def connect(url: str, hot: bool = False) -> Pool:
    """Open the connections. Raises `PilotageError` that says which database and why not."""
    settings, size = ({**_SETTINGS, **_HOT}, HOT_CONNECTIONS) if hot else (_SETTINGS, CONNECTIONS)
    try:
        pool = await asyncpg.create_pool(min_size=0, max_size=size, **_arguments(url, settings))
        async with pool.acquire():
            return pool
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise PilotageError(f"The database {url} cannot be opened: {_said(error)}.") from error


async def connect_alone(url: str) -> asyncpg.Connection[asyncpg.Record]:
    """One more connection, that belongs to its caller."""
    return await asyncpg.connect(**_arguments(url, _SETTINGS))


def _arguments(url: str, settings: Mapping[str, str]) -> dict[str, Any]:
    return {
        "dsn": checked(url),
        "timeout": CONNECT_TIMEOUT,
        "command_timeout": COMMAND_TIMEOUT,
        "server_settings": dict(settings),
        "statement_cache_size": 512,
        "max_cached_statement_lifetime": PLAN_SECONDS,
        "connection_class": _Connection,
    }


def closed() -> Refusal:
    """What one hears who asks a store that is not open any more."""
    return Refusal("busy", "The central is shutting down. Repeat this when it is back.", retry_after=RETRY_AFTER)


def unsure() -> Refusal:
    """What one hears whose connection broke at the commit."""
    return Refusal(
        "busy",
        "The connection to the central's database broke while this was being written: it may have been done. "
        "Look before you repeat it.",
        retry_after=RETRY_AFTER,
    )


def gone(error: BaseException) -> bool:
    """Whether the connection is lost, or there is none to be had."""
    if isinstance(error, asyncpg.InterfaceError) and not isinstance(error, asyncpg.exceptions.DataError):
        return "closed" in str(error) or "connection" in str(error)
    return isinstance(error, _GONE)


def clash(error: BaseException) -> bool:
    """Whether the same again, at once, may well succeed."""
    return isinstance(error, _CLASH)


def understood(error: Exception) -> Exception:
    """What to tell the one who asked: `busy` when it failed for a reason that passes, else the error itself."""
    if isinstance(error, _INVALID):
        return Refusal(
            "invalid",
            "A value is beyond what the central can keep: expected numbers less than 2^63, and text without the "
            "character NUL.",
        )
    if gone(error) or isinstance(error, _TRANSIENT):
        return Refusal(
            "busy",
            f"The central's database cannot do this now ({_said(error)}); nothing was changed. Repeat it later.",
            retry_after=RETRY_AFTER,
        )
    return error


def plain(text: str) -> str:
    """Text of a payload or a pilot as a column takes it: PostgreSQL keeps no NUL."""
    return text.replace("\0", "\ufffd") if "\0" in text else text


def array_text(numbers: Iterable[float | None]) -> str:
    """The text of an array of numbers, for a parameter that is cast from it: the driver encodes the elements of one by
    one, and looks at each three times."""
    return "{" + ",".join(["NULL" if number is None else str(number) for number in numbers]) + "}"


def _said(error: BaseException) -> str:
    return str(error).strip().rstrip(".").partition("\n")[0] or type(error).__name__
