"""Requests to EC2, in threads, each bounded in time; with the credential that is laid in a file, read anew when it
changes. The only module, with `bounded`, that knows boto3."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import boto3  # type: ignore[import-untyped]
import botocore.session  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import (  # type: ignore[import-untyped]
    BotoCoreError,
    ClientError,
    InvalidRegionError,
    NoRegionError,
    ParamValidationError,
)
from botocore.parsers import ResponseParserError  # type: ignore[import-untyped]
from botocore.utils import get_environ_proxies  # type: ignore[import-untyped]

from central.clouds.ec2.bounded import Bounded
from central.clouds.ec2.errors import answered, unanswered
from central.clouds.threads import Threads
from central.configuration.elements import Cloud
from central.elements.port import ComputingError, Trouble

T = TypeVar("T")
#: Requests at a time; more wait.
THREADS = 8
#: Times that boto3 asks, with pauses, where it is told to come later: all of them within the patience for one.
ATTEMPTS = 3
#: What is asked where nobody names a region, as with clouds that have none.
REGION = "us-east-1"
#: Bytes of a credential's file.
_BOUND = 65536
#: Sessions may make clients in one thread at a time. What one knows of a service takes half a second to read.
_MAKING = threading.Lock()
#: Nobody's own configuration of AWS has a say here, nor a profile in the environment.
_NOTHING = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


class Wire:
    """The clients of one account. `held`: the file of the access key."""

    def __init__(self, cloud: Cloud, held: Path) -> None:
        self._cloud = cloud
        self._held = held
        # Clients of boto3 may be shared by threads: these have none of their own.
        self._threads = Threads(lambda: None, lambda _: None, "EC2", at_a_time=THREADS)
        self._clients: dict[str, Any] = {}  # service → client
        self._senders: dict[str, Bounded] = {}  # service → what sends its client's requests
        self._key = b""  # the file that they were made with

    async def ask(self, work: Callable[[Any], T], service: str = "ec2", requests: int = 1) -> T:
        """What this makes of a client of boto3, within the patience for so many requests.

        Raises `ComputingError`, and `Answer` where EC2 answers with an error.
        """
        return await self._threads.call(lambda _: self._asked(work, service), self._cloud.patience * requests)

    async def close(self) -> None:
        await self._threads.close()
        self._let_go()

    def _asked(self, work: Callable[[Any], T], service: str) -> T:
        try:
            return work(self._client(service))
        except ClientError as error:
            told = error.response.get("Error", {})
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            raise Answer(str(told.get("Code", "")), str(told.get("Message", "")), status) from None
        except (ParamValidationError, NoRegionError, InvalidRegionError) as error:
            words = " ".join(str(error).split())
            raise ComputingError(f"EC2 cannot be asked that: {words}", Trouble.REFUSED) from None
        except (BotoCoreError, ResponseParserError, OSError) as error:
            raise unanswered(error) from None

    def _client(self, service: str) -> Any:
        """Of boto3, safe to use from several threads."""
        with _MAKING:
            key = self._read()
            if key != self._key:
                self._let_go()  # what is still asked by them goes on
                self._key = key
            if service not in self._clients:
                self._clients[service] = self._made(service, _key(key, self._held))
            return self._clients[service]

    def _let_go(self) -> None:
        for each in (*self._clients.values(), *self._senders.values()):
            each.close()
        self._clients, self._senders = {}, {}

    def _made(self, service: str, key: dict[str, str]) -> Any:
        cloud = self._cloud
        config = Config(
            connect_timeout=min(cloud.patience, 10.0),
            read_timeout=cloud.patience,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            max_pool_connections=THREADS,
            ignore_configured_endpoint_urls=True,
            user_agent_appid="pilotage",
        )
        client = _session().client(
            service,
            region_name=cloud.region or REGION,
            endpoint_url=(cloud.url or None) if service == "ec2" else None,
            verify=cloud.ca or True,
            aws_access_key_id=key["access_key"],
            aws_secret_access_key=key["secret_key"],
            aws_session_token=key.get("session_token") or None,
            config=config,
        )
        self._senders[service] = Bounded(
            cloud.patience,
            timeout=(config.connect_timeout, config.read_timeout),
            proxies=get_environ_proxies(client.meta.endpoint_url),
            verify=cloud.ca or True,
            max_pool_connections=THREADS,
        )
        client.meta.events.register("before-send", self._senders[service].answer)
        return client

    def _read(self) -> bytes:
        try:
            with self._held.open("rb") as file:
                return file.read(_BOUND)
        except OSError as error:
            raise ComputingError(f"there is no access key for EC2: {error}", Trouble.CREDENTIAL) from None


@cache
def _session() -> Any:
    """Of this process; it knows no key."""
    return boto3.session.Session(botocore_session=botocore.session.Session(_NOTHING))


class Answer(ComputingError):
    """EC2 answered with an error; `code` is its own."""

    def __init__(self, code: str, message: str, status: int) -> None:
        error = answered(code, message, status)
        super().__init__(str(error), error.trouble)
        self.code = code


def _key(text: bytes, file: Path) -> dict[str, str]:
    """The fields of an access key."""
    try:
        fields = json.loads(text)
        key = {name: fields[name] for name in ("access_key", "secret_key")}
        key["session_token"] = fields.get("session_token") or ""
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ComputingError(f"expected an access key with its secret in {file}", Trouble.CREDENTIAL) from None
    if not all(isinstance(value, str) for value in key.values()):
        raise ComputingError(f"expected the fields of the access key in {file} to be text", Trouble.CREDENTIAL)
    return key
