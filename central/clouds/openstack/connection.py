"""Libcloud's connections to OpenStack, held to bounds: one for each service, in one thread.

What is changed: a service is found by its type and region, since clouds give them names of their own; answers have an
end in bytes and in time; nothing is redirected, which would take the token elsewhere; a token goes nowhere without TLS
when Keystone has it; a certificate authority can be named for one cloud; and Keystone's errors are told from others.
"""

from __future__ import annotations

import json
import re
import threading
import time
from typing import Any

import requests
from libcloud.common.exceptions import BaseHTTPError
from libcloud.common.openstack import OpenStackBaseConnection, OpenStackResponse
from libcloud.common.openstack_identity import (
    OpenStackAuthenticationCache,
    OpenStackAuthenticationContext,
    OpenStackIdentity_3_0_Connection,
    OpenStackIdentity_3_0_Connection_AppCred,
    OpenStackIdentityEndpointType,
)
from libcloud.common.types import InvalidCredsError, LibcloudError
from libcloud.http import LibcloudConnection
from urllib3.exceptions import HTTPError

from central.clouds.openstack import errors
from central.elements.port import ComputingError, Trouble

#: Bytes of one answer: a page of a thousand servers is about five million.
BOUND = 64_000_000
#: Catalogues have the version of some services in their URLs, and Libcloud puts it there once more.
_VERSION = re.compile(r"/v2(\.0)?/?$")
_CODE = re.compile(r"code: (\d{3}) ")


class Tokens(OpenStackAuthenticationCache):
    """Tokens that all threads of an adapter share, with the catalogue, so that none needs to ask for its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._contexts: dict[object, OpenStackAuthenticationContext] = {}

    def get(self, key: object) -> OpenStackAuthenticationContext | None:
        with self._lock:
            return self._contexts.get(key)

    def put(self, key: object, context: OpenStackAuthenticationContext) -> None:
        if context.urls:  # Libcloud hands in one without, at first
            with self._lock:
                self._contexts[key] = context

    def clear(self, key: object) -> None:
        with self._lock:
            self._contexts.pop(key, None)


class _Bounded(LibcloudConnection):
    """One whose answers end."""

    def request(
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Any = None,
        raw: bool = False,
        stream: bool = False,
        hooks: Any = None,
    ) -> None:
        self.session.max_redirects = 0
        end = time.monotonic() + self.session.timeout
        super().request(method, url, body, headers, raw, stream=True, hooks=hooks)
        read = bytearray()
        # What has come, be it a byte: a part of a certain length would be waited for, however slowly it comes.
        while part := self.response.raw.read1(65_536, decode_content=True):
            read += part
            if len(read) > BOUND:
                self.response.close()
                raise requests.exceptions.ContentDecodingError(f"an answer of more than {BOUND} bytes")
            if time.monotonic() > end:
                self.response.close()
                raise requests.exceptions.ReadTimeout(f"an answer that takes more than {self.session.timeout:g} s")
        self.response._content = bytes(read)


class _Identity(OpenStackIdentity_3_0_Connection_AppCred):
    """Keystone, whose errors are told apart from those of the services."""

    def __init__(self, ca: str, **given: Any) -> None:
        super().__init__(**given)
        self.ca = ca

    def connect(self, *given: Any, **named: Any) -> None:
        super().connect(*given, **named)
        self.connection.ca_cert = self.ca or None

    def _load_auth_context_from_cache(self) -> Any:
        # Libcloud would ask Keystone for the catalogue, which a credential with access rules may not be allowed to.
        return super(OpenStackIdentity_3_0_Connection, self)._load_auth_context_from_cache()

    def authenticate(self, force: bool = False) -> Any:
        try:
            done = super().authenticate(force)
            context = OpenStackAuthenticationContext(
                self.auth_token, self.auth_token_expires, self.auth_user_info, self.auth_user_roles, self.urls
            )
            self.auth_cache.put(self._cache_key, context)
            return done
        except InvalidCredsError as error:
            raise errors.unauthenticated(self.auth_url, 401, str(error.value)) from error
        except BaseHTTPError as error:
            raise errors.unauthenticated(self.auth_url, error.code, error.message) from error
        except LibcloudError as error:
            # What is neither a token nor 401 comes as this, with the status in the text.
            found = _CODE.search(f"{error} {getattr(error, 'body', '')}")
            raise errors.unauthenticated(self.auth_url, int(found[1]) if found else 502, str(error)) from error
        except (requests.RequestException, HTTPError, OSError) as error:
            raise errors.unanswered(f"Keystone at {self.auth_url}", error) from error


class Service(OpenStackBaseConnection):
    """One service of a cloud, in a region; empty: the only one that there is."""

    conn_class = _Bounded
    responseCls = OpenStackResponse  # noqa: N815 Libcloud's name for it
    accept_format = "application/json"
    default_content_type = "application/json; charset=UTF-8"

    def __init__(self, kind: str, id: str, secret: str, ca: str, region: str, **given: Any) -> None:
        super().__init__(id, secret, ex_force_auth_version="3.x_appcred", **given)
        self.service_type = kind
        self.region = region
        self.ca = ca
        self._identity: _Identity | None = None

    def connect(self, *given: Any, **named: Any) -> None:
        super().connect(*given, **named)
        self.connection.ca_cert = self.ca or None

    def encode_data(self, data: Any) -> str:
        return json.dumps(data)

    def get_auth_class(self) -> _Identity:
        if self._identity is None:
            self._identity = _Identity(
                self.ca,
                auth_url=self._get_auth_url(),
                user_id=self.user_id,
                key=self.key,
                timeout=self.timeout,
                parent_conn=self,
                auth_cache=self._ex_auth_cache,
            )
        return self._identity

    def get_endpoint(self) -> str:
        kind = self.service_type
        there = {
            endpoint.region: endpoint.url
            for endpoint in self.service_catalog.get_endpoints(service_type=kind)
            if endpoint.endpoint_type == OpenStackIdentityEndpointType.EXTERNAL and endpoint.url
        }
        regions = ", ".join(sorted(map(str, there))) or "none"
        if self.region not in there and (self.region or len(there) != 1):
            got = f"the region {self.region}" if self.region else "none"
            sentence = f"expected the region of its service {kind!r}, got {got}; the cloud has it in: {regions}"
            raise ComputingError(sentence, Trouble.REFUSED)
        url = str(there[self.region] if self.region else next(iter(there.values())))
        if self._get_auth_url().startswith("https:") and not url.startswith("https:"):
            sentence = f"the cloud has its service {kind!r} at {url}, where the token could be read on its way"
            raise ComputingError(sentence, Trouble.REFUSED)
        return _VERSION.sub("", url) if kind != "compute" else url

    def let_go(self) -> None:
        for connection in (self, self._identity):
            if connection is not None and connection.connection is not None:
                connection.connection.session.close()


def service(
    kind: str, url: str, credential: tuple[str, str], ca: str, region: str, patience: float, tokens: Tokens
) -> Service:
    """A connection to one service of the cloud whose Keystone is at `url`; nothing is asked yet."""
    keystone = re.sub(r"(/v3)?/*$", "", url.rstrip("/"))
    return Service(
        kind,
        *credential,
        ca=ca,
        region=region,
        timeout=patience,
        ex_force_auth_url=keystone,
        ex_auth_cache=tokens,
    )
