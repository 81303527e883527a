"""Pilots as jobs of ARC: how one is described, and what ARC's answers about them mean. All of it is pure.

Descriptions are in ADL, ARC's activity description language. Written for REST 1.0 and 1.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from central.elements.places import STAMP
from central.elements.port import ComputingError, Standing, Submission, Trouble

SCRIPT, SECRET, OUTPUT = "wrapper.sh", "secret", "output"
#: How ARC names jobs, as far as this may stand in a URL.
REFERENCE = re.compile(r"[A-Za-z0-9_-]{1,200}")
#: ARC has made the job, and waits for its files.
EARLY = frozenset({"ACCEPTING", "ACCEPTED", "PREPARING", "PREPARED"})
ENDED = frozenset({"FINISHED", "FAILED", "KILLED"})
#: What goes on inside the batch system, of which a job's own state has but one word: RUNNING.
_INSIDE = frozenset({"QUEUING", "RUNNING", "HELD", "EXITINGLRMS", "OTHER"})
_STANDINGS = {
    **dict.fromkeys(EARLY | {"SUBMITTING", "QUEUING", "HELD"}, Standing.QUEUED),
    # After the payload ARC brings files away; until that is done the output is not there.
    **dict.fromkeys(("RUNNING", "EXITINGLRMS", "EXECUTED", "FINISHING", "KILLING"), Standing.RUNNING),
    **dict.fromkeys(ENDED, Standing.ENDED),
}
#: All but WIPED, of which nothing is left. A job whose state ARC cannot tell is in the list as well.
STATES = (*_STANDINGS, "OTHER", "None", "UNDEFINED")
_ADL = "http://www.eu-emi.eu/es/2010/12/adl"
_NORDUGRID = "http://www.nordugrid.org/es/2011/12/nordugrid-adl"
#: Reasons of a refusal that are ARC's own trouble, and not what was asked.
_INTERNAL = re.compile(r"[Ff]ailed to (?:find|allocate|create|write|store)|[Ii]nternal")
#: Reasons of a refusal that pass: a bound on jobs, or a computing element that is being emptied.
_LATER = re.compile(r"No more jobs|New job submission is not allowed")


@dataclass(frozen=True)
class Door:
    """Which part of the computing element a queue stands for. `prefix` begins the names of its jobs."""

    prefix: str
    queue: str = ""
    runtime_environments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()  # of each pilot


@dataclass(frozen=True)
class Info:
    """What ARC's information system, which lags, tells of a job."""

    name: str = ""
    state: str = ""
    detail: str = ""  # the batch system's own word
    exit_code: int | None = None
    error: str = ""


def name(prefix: str, stamp: str) -> str:
    return f"{prefix}-{stamp}"


def stamp_of(prefix: str, job: str) -> str:
    """The stamp in a job's name; empty: it is none of ours."""
    stamp = job.removeprefix(f"{prefix}-")
    return stamp if stamp != job and STAMP.fullmatch(stamp) else ""


def descriptions(door: Door, submissions: Sequence[Submission], delegation: str = "") -> bytes:
    """One document that describes them all."""
    for prefix, space in (("", _ADL), ("nordugrid-adl", _NORDUGRID)):
        ElementTree.register_namespace(prefix, space)
    whole = ElementTree.Element(_adl("ActivityDescriptions"))
    for submission in submissions:
        _describe(ElementTree.SubElement(whole, _adl("ActivityDescription")), door, submission, delegation)
    document: bytes = ElementTree.tostring(whole, "utf-8", xml_declaration=True)
    return document


def _describe(job: ElementTree.Element, door: Door, submission: Submission, delegation: str) -> None:
    _add(_add(job, "ActivityIdentification"), "Name", name(door.prefix, submission.stamp))
    application = _add(job, "Application")
    _add(_add(application, "Executable"), "Path", SCRIPT)
    for stream in ("Output", "Error"):
        _add(application, stream, OUTPUT)
    for key, value in door.environment:
        variable = _add(application, "Environment")
        _add(variable, "Name", key)
        _add(variable, "Value", value)
    _resources(_add(job, "Resources"), door, submission)
    staging = _add(job, "DataStaging")
    for file in (SECRET, SCRIPT):
        coming = _add(staging, "InputFile")
        _add(coming, "Name", file)
        if file == SCRIPT:
            _add(coming, "IsExecutable", "true")
    _add(_add(staging, "OutputFile"), "Name", OUTPUT)  # all else is removed at the job's end
    if delegation:
        ElementTree.SubElement(staging, f"{{{_NORDUGRID}}}DelegationID").text = delegation


def _resources(resources: ElementTree.Element, door: Door, submission: Submission) -> None:
    """ARC counts memory for each core. It has no words for GPUs: a site has a runtime environment for them."""
    asked = submission.request
    cores = max(1, asked.cores)
    slots = _add(resources, "SlotRequirement")
    _add(slots, "NumberOfSlots", str(cores))
    _add(slots, "SlotsPerHost", str(cores))
    if asked.whole_node:
        _add(slots, "ExclusiveExecution", "true")
    for environment in door.runtime_environments:
        _add(_add(resources, "RuntimeEnvironment"), "Name", environment)
    if asked.disk:
        _add(resources, "DiskSpaceRequirement", str(asked.disk))
    if asked.memory:
        _add(resources, "IndividualPhysicalMemory", str(-(-asked.memory // cores)))
    if asked.wall_time:
        _add(resources, "WallTime", str(asked.wall_time))
    if door.queue:
        _add(resources, "QueueName", door.queue)


def _adl(tag: str) -> str:
    return f"{{{_ADL}}}{tag}"


def _add(parent: ElementTree.Element, tag: str, text: str | None = None) -> ElementTree.Element:
    child = ElementTree.SubElement(parent, _adl(tag))
    child.text = text
    return child


# --- Answers ----------------------------------------------------------------------------------------------------------


def rows(answer: Any, of: str = "job") -> list[Mapping[str, Any]]:
    """What is in a list of ARC's, in which one is not a list but itself. Raises `ComputingError`."""
    if not isinstance(answer, dict):
        raise _not_understood(answer)
    found = answer.get(of) or []
    listed = found if isinstance(found, list) else [found]
    if not all(isinstance(row, dict) for row in listed):
        raise _not_understood(answer)
    return listed


def states(answer: Any) -> dict[str, str]:
    """reference → state of every job that may be asked about."""
    return {
        row["id"]: str(row.get("state", ""))
        for row in rows(answer)
        if isinstance(row.get("id"), str) and REFERENCE.fullmatch(row["id"])
    }


def files(answer: Any) -> list[str]:
    """Those of ours in the list of a job's folder."""
    found = answer.get("file") if isinstance(answer, dict) else None
    return [name for name in (SECRET, SCRIPT) if name in (found if isinstance(found, list) else [found])]


def infos(answer: Any) -> dict[str, Info]:
    """reference → what is told of it; those that ARC does not know any more are left out."""
    return {
        str(row.get("id")): _info(document.get("ComputingActivity"))
        for row in rows(answer)
        if isinstance(document := row.get("info_document"), dict)
    }


def _info(activity: Any) -> Info:
    if not isinstance(activity, dict):
        return Info()
    words = dict(word.split(":", 1) for word in _texts(activity.get("State")) if ":" in word)
    code = activity.get("ExitCode")
    return Info(
        name=next(iter(_texts(activity.get("Name"))), ""),
        state=words.get("arcrest", ""),
        detail=words.get("nordugrid", ""),
        exit_code=int(code) if isinstance(code, str) and re.fullmatch(r"-?[0-9]{1,9}", code) else None,
        error="; ".join(_texts(activity.get("Error")))[:1000],
    )


def _texts(value: Any) -> list[str]:
    """A value that stands once or several times."""
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]


def taken(answer: Any, count: int) -> list[str | ComputingError]:
    """The references of jobs, in the order in which they were described, or why they were not taken."""
    listed = rows(answer)
    if len(listed) != count:
        raise ComputingError(f"{count} jobs were described and {len(listed)} answered", Trouble.UNREACHABLE)
    return [_taken(row) for row in listed]


def _taken(row: Mapping[str, Any]) -> str | ComputingError:
    reference = row.get("id")
    if str(row.get("status-code")) == "201" and isinstance(reference, str) and REFERENCE.fullmatch(reference):
        return reference
    reason = str(row.get("reason", "it did not say why"))[:500]
    return ComputingError(f"ARC did not take the job: {reason}", _trouble(str(row.get("status-code")), reason))


def _trouble(code: str, reason: str) -> Trouble:
    if _LATER.search(reason):
        return Trouble.FULL
    if code in ("401", "403"):
        return Trouble.CREDENTIAL
    return Trouble.UNREACHABLE if _INTERNAL.search(reason) else Trouble.REFUSED


def not_done(answer: Any) -> dict[str, ComputingError]:
    """reference → why something was not done to a job, but for those that are not there any more."""
    return {
        str(row.get("id")): ComputingError(
            f"ARC did not do it to job {row.get('id')}: {str(row.get('reason', ''))[:500]}", Trouble.UNREACHABLE
        )
        for row in rows(answer)
        if str(row.get("status-code")) not in ("200", "202", "404")
    }


def state(own: str, info: Info) -> str:
    """Of the job's own state, which is of this moment, and that of the information system, which knows more."""
    return info.state if own == "RUNNING" and info.state in _INSIDE else own


def standing(word: str) -> Standing:
    return _STANDINGS.get(word, Standing.UNKNOWN)


def value(lines: str, key: str) -> str:
    """The last value of a key in one of ARC's own files about a job; empty where there is none."""
    found = ""
    for line in lines.splitlines():
        if line.startswith(f"{key}="):
            found = line.partition("=")[2].strip()
    return found


def _not_understood(answer: Any) -> ComputingError:
    return ComputingError(f"ARC gave an answer that cannot be understood: {str(answer)[:200]!r}", Trouble.UNREACHABLE)
