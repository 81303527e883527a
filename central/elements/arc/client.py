"""A thin client of ARC's REST interface, versions 1.0 and 1.1: each method is one request, or one for each few thousand
jobs. It blocks: threads call it. Everything raises `ComputingError`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from central.elements.arc import jobs
from central.elements.arc.credentials import Credential
from central.elements.arc.wire import Answer, Wire
from central.elements.places import OUTPUT_BOUND
from central.elements.port import ComputingError, Trouble

VERSIONS = ("1.1", "1.0")  # best first
#: Jobs that one request is about. ARC reads a megabyte of references.
AT_ONCE = 5000
_DELEGATION = re.compile(r"[A-Za-z0-9_-]{1,200}")
_JSON = "application/json"


class Client:
    """Speaks to the computing element at `url`, which ends in what is before `/rest`."""

    def __init__(self, url: str, wire: Wire) -> None:
        self.url = url.rstrip("/").removesuffix("/rest")
        self.wire = wire
        self._base = ""

    def credential(self) -> Credential:
        return self.wire.credential()

    def close(self) -> None:
        self.wire.close()

    # --- Jobs ---------------------------------------------------------------------------------------------------------

    def states(self) -> dict[str, str]:
        """reference → state of every job of this account, as it is at this moment."""
        return jobs.states(self._good("GET", f"/jobs?state={','.join(jobs.STATES)}", "jobs cannot be listed").json())

    def infos(self, references: Sequence[str]) -> dict[str, jobs.Info]:
        """What the information system knows of them, as of some time ago."""
        return {ref: info for answer in self._about("info", references) for ref, info in jobs.infos(answer).items()}

    def create(self, descriptions: bytes, count: int) -> list[str | ComputingError]:
        """Make jobs; what is sent twice would be two."""
        answer = self._good(
            "POST", "/jobs?action=new", "jobs cannot be made", descriptions, again=False, Content_Type="application/xml"
        )
        return jobs.taken(answer.json(), count)

    def kill(self, references: Sequence[str]) -> dict[str, ComputingError]:
        """Those that could not be told to end."""
        return {ref: bad for answer in self._about("kill", references) for ref, bad in jobs.not_done(answer).items()}

    def clean(self, reference: str) -> None:
        for answer in self._about("clean", [reference]):
            for error in jobs.not_done(answer).values():
                raise error

    def delegations_of(self, references: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The delegations that jobs have."""
        found: dict[str, tuple[str, ...]] = {}
        for answer in self._about("delegations", references):
            for row in jobs.rows(answer):
                ids = row.get("delegation_id") or []
                listed = ids if isinstance(ids, list) else [ids]
                found[str(row.get("id"))] = tuple(
                    item for item in listed if isinstance(item, str) and _DELEGATION.fullmatch(item)
                )
        return found

    def _about(self, action: str, references: Sequence[str]) -> Iterator[Any]:
        """ARC's answers about jobs, in as few requests as it takes."""
        for start in range(0, len(references), AT_ONCE):
            asked = {"job": [{"id": reference} for reference in references[start : start + AT_ONCE]]}
            body = json.dumps(asked).encode()
            yield self._good("POST", f"/jobs?action={action}", f"{action} of jobs", body, Content_Type=_JSON).json()

    # --- Files --------------------------------------------------------------------------------------------------------

    def upload(self, reference: str, name: str, content: bytes) -> None:
        path = self._path(reference, f"session/{name}")
        self._good(
            "PUT",
            path,
            f"{name} of job {reference} cannot be brought",
            content,
            Content_Type="application/octet-stream",
        )

    def empty(self, reference: str) -> None:
        """Remove the files of a job."""
        answer = self._good("GET", self._path(reference, "session/"), f"files of job {reference} cannot be listed")
        for name in jobs.files(answer.json()):
            self._good("DELETE", self._path(reference, f"session/{name}"), f"{name} of job {reference} cannot go")

    def tail(self, reference: str, name: str) -> bytes:
        """The end of a file of a job; nothing where there is no such file."""
        path = self._path(reference, f"session/{name}")
        about = self._ask("HEAD", path)
        if about.status == 404:
            return b""
        size = about.headers.get("Content-Length", "0")
        begin = max(0, int(size) - OUTPUT_BOUND) if size.isdigit() else 0
        answer = self._good("GET", path, f"{name} of job {reference} cannot be had", Range=f"bytes={begin}-")
        return answer.body[-OUTPUT_BOUND:]

    def told(self, reference: str, about: str) -> str:
        """One of ARC's own files about a job, as it is at this moment; empty where there is none."""
        answer = self._ask("GET", self._path(reference, f"diagnose/{about}"))
        if answer.status == 404:
            return ""
        return self._checked(answer, f"{about} of job {reference} cannot be had").body.decode("utf-8", "replace")

    # --- Delegations --------------------------------------------------------------------------------------------------

    def new_delegation(self) -> tuple[str, bytes]:
        """Its name, and the request for a certificate."""
        answer = self._good("POST", "/delegations?action=new", "no delegation can be made")
        name = answer.headers.get("Location", "").rsplit("/", 1)[-1]
        if not _DELEGATION.fullmatch(name):
            raise ComputingError(f"a delegation was made and not named: {answer.said}", Trouble.UNREACHABLE)
        return name, answer.body

    def renew_delegation(self, name: str) -> bytes:
        return self._good(
            "POST", f"/delegations/{quote(name)}?action=renew", f"delegation {name} cannot be renewed"
        ).body

    def put_delegation(self, name: str, signed: bytes) -> None:
        self._good(
            "PUT",
            f"/delegations/{quote(name)}",
            f"delegation {name} cannot be given",
            signed,
            Content_Type="application/x-pem-file",
        )

    # --- The wire -----------------------------------------------------------------------------------------------------

    def _path(self, reference: str, rest: str) -> str:
        if not jobs.REFERENCE.fullmatch(reference):
            raise ComputingError(f"expected the name of a job at ARC, got {reference[:100]!r}", Trouble.REFUSED)
        return f"/jobs/{reference}/{rest}"

    def _good(
        self, method: str, path: str, problem: str, body: bytes = b"", *, again: bool = True, **headers: str
    ) -> Answer:
        return self._checked(self._ask(method, path, body, again=again, **headers), problem)

    def _checked(self, answer: Answer, problem: str) -> Answer:
        if not answer.good:
            raise ComputingError(f"at {self.url} {problem}: {answer.said}", answer.trouble)
        return answer

    def _ask(self, method: str, path: str, body: bytes = b"", *, again: bool = True, **headers: str) -> Answer:
        return self.wire.ask(method, f"{self._found()}{path}", body, again=again, **headers)

    def _found(self) -> str:
        """Where the best version is that both sides speak."""
        if not self._base:
            answer = self._checked(self.wire.ask("GET", f"{self.url}/rest"), "the versions cannot be asked for")
            told = answer.json()
            spoken = told.get("version") if isinstance(told, dict) else None
            for version in VERSIONS:
                if version in (spoken if isinstance(spoken, list) else [spoken]):
                    self._base = f"{self.url}/rest/{version}"
                    break
            else:
                raise ComputingError(
                    f"{self.url} speaks no version of REST that is known here: expected one of {', '.join(VERSIONS)},"
                    f" got {answer.said}",
                    Trouble.UNREACHABLE,
                )
        return self._base
