"""Credentials for one job that runs without a central: a file of its owner's, which nobody else may read.

YAML or JSON: the name of each, and what it is.

    eos: {kind: bearer, token: abc…, urls: [https://eos.example.org/user/ada/]}
    licence: {text: …}
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from pilot.credential import NAME, NEEDED, REFRESHED, CredentialRequest, Kind, check, delivered
from pilot.errors import InvalidInput, InvalidJob
from pilot.onejob import MAX_FILE, OneJob
from pilot.protocol import Credential

_FLAG = "--credentials"


def trusted(job: OneJob, path: Path) -> OneJob:
    """The job with the credentials that it names, out of a file. Raises `InvalidInput`, `InvalidJob`; never quotes."""
    written = _load(path)
    found = tuple(_credential(path, name, written) for name in dict.fromkeys(job.spec.credentials))
    return replace(job, credentials=found)


def untrusted(job: OneJob) -> OneJob:
    """The job when no file was named. Raises `InvalidInput` where it asks for credentials."""
    if job.spec.credentials:
        names = ", ".join(job.spec.credentials)
        raise InvalidInput(_FLAG, f"the job {job.name} asks for {names}: name the file that has them (mode 0600)")
    return job


def _load(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            if about.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise InvalidInput(_FLAG, f"others may read {path}: `chmod 600 {path}` first")
            text = file.read(MAX_FILE + 1)
        values = yaml.safe_load(text) if len(text) <= MAX_FILE else None
    except OSError as error:
        raise InvalidInput(_FLAG, f"{path} cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        # Without the cause: a parser quotes what it could not read.
        raise InvalidInput(_FLAG, f"{path} is not YAML{where}") from None
    if not isinstance(values, dict):
        raise InvalidInput(_FLAG, f"{path}: expected names, each with a mapping like {{kind: bearer, token: …}}")
    return values


def _credential(path: Path, name: str, written: Mapping[str, Any]) -> Credential:
    entry = written.get(name)
    if not isinstance(entry, dict) or not NAME.fullmatch(name):
        raise InvalidInput(_FLAG, f"{path}: expected a mapping under {name!r}, which the job asks for")
    values = {str(key): value for key, value in entry.items()}
    kind, urls = values.pop("kind", "text"), values.pop("urls", ())
    if kind not in NEEDED:
        raise InvalidInput(_FLAG, f"{path}: {name}.kind: expected one of {', '.join(NEEDED)}")
    if kind == REFRESHED:
        raise InvalidInput(_FLAG, f"{path}: {name}.kind: {kind} needs a central; give a token, as the kind bearer")
    if not isinstance(urls, (list, tuple)) or not all(isinstance(value, str) for value in (*values.values(), *urls)):
        raise InvalidInput(_FLAG, f"{path}: {name}: expected texts, and a list of texts as `urls`")
    problems = check(CredentialRequest(cast(Kind, kind), values, tuple(urls)))
    if problems:
        raise InvalidJob(tuple(InvalidInput(f"{path}: {name}.{one.where}", one.problem) for one in problems))
    return delivered(name, cast(Kind, kind), values, urls)
