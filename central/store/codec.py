"""Records as the JSON text that a store keeps, and back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from functools import lru_cache
from typing import Any

import msgspec

from central.records import Limit
from pilot.jobfile import fill_spec
from pilot.protocol import AttemptReport, Fact, InputFile, JobSpec, Ledger, Needs, Offer, Usage
from pilot.views import MachineLoad

#: Facts kept of one node; a pilot that makes up new names for ever keeps its latest.
MAX_FACTS = 1000
#: Characters kept of the name of a machine.
MAX_HOST = 255

_DEFAULT_NEEDS = Needs()
# Decoders of our own: msgspec would build them anew for each call.
_NEEDS = msgspec.json.Decoder(Needs)
_SPEC = msgspec.json.Decoder(JobSpec)
_OFFER = msgspec.json.Decoder(Offer)
_USAGE = msgspec.json.Decoder(Usage)
_REPORT = msgspec.json.Decoder(AttemptReport)
_LEDGER = msgspec.json.Decoder(Ledger)
_FACTS = msgspec.json.Decoder(tuple[Fact, ...])
_LOADS = msgspec.json.Decoder(tuple[MachineLoad, ...])
_INPUTS = msgspec.json.Decoder(tuple[InputFile, ...])
_TEXTS = msgspec.json.Decoder(tuple[str, ...])
_PARAMETERS = msgspec.json.Decoder(dict[str, str])
_LIMIT = msgspec.json.Decoder(Limit)
_RANGES = msgspec.json.Decoder(tuple[tuple[int, int], ...])


def text(record: Any) -> str:
    """A record, or a sequence or mapping of them, as JSON."""
    return msgspec.json.encode(record).decode()


@lru_cache(maxsize=4096)
def needs_text(needs: Needs) -> str:
    """Equal needs give equal text, also when a later version knows more fields: defaults are left out."""
    return text(
        {
            field.name: value
            for field in fields(needs)
            if (value := getattr(needs, field.name)) != getattr(_DEFAULT_NEEDS, field.name)
        }
    )


@lru_cache(maxsize=4096)
def needs(stored: str) -> Needs:
    return _NEEDS.decode(stored)


@lru_cache(maxsize=256)
def spec(stored: str) -> JobSpec:
    """A document's template. Remembered by its text, so that no rollback can make it another's."""
    return _SPEC.decode(stored)


def filled(document: str, own_parameters: str | None, own_inputs: str | None) -> JobSpec:
    """A job as it runs, from its document and what is its own."""
    return fill(spec(document), own_parameters, own_inputs)


def fill(template: JobSpec, own_parameters: str | None, own_inputs: str | None) -> JobSpec:
    """The same from a document that was decoded before."""
    files = template.inputs if own_inputs is None else inputs(own_inputs)
    return fill_spec(template, parameters(own_parameters), files)


def inputs(stored: str) -> tuple[InputFile, ...]:
    return _INPUTS.decode(stored)


def offer(stored: str | None) -> Offer | None:
    return None if stored is None else _OFFER.decode(stored)


def usage(stored: str) -> Usage:
    return _USAGE.decode(stored)


def ledger(stored: str) -> Ledger:
    return _LEDGER.decode(stored)


def report(stored: str | None) -> AttemptReport | None:
    return None if stored is None else _REPORT.decode(stored)


def checkpoint(ends: Iterable[str]) -> tuple[InputFile, ...]:
    """What a job's next attempt goes on from: the files of the first of these reports (the newest come first) that
    saved any."""
    saved = next((files for end in ends if (files := _REPORT.decode(end).checkpoint)), ())
    return tuple(InputFile(file.name, file.sha256, file.size) for file in saved)


def facts(stored: str | None) -> tuple[Fact, ...]:
    return () if stored is None else _FACTS.decode(stored)


def loads(stored: str | None) -> tuple[MachineLoad, ...]:
    return () if stored is None else _LOADS.decode(stored)


def merged_facts(old: Iterable[Fact], new: Iterable[Fact]) -> tuple[Fact, ...]:
    """What is known of a node: of each fact the newest word."""
    known = {fact.name: fact for fact in old}
    for fact in new:
        known.pop(fact.name, None)
        known[fact.name] = fact
    return tuple(known.values())[-MAX_FACTS:]


def host(known: Iterable[Fact]) -> str:
    """The machine that a pilot is on, as its fact `host` says; empty when it does not."""
    names = [fact.value for fact in known if fact.name == "host" and isinstance(fact.value, str)]
    return names[-1][:MAX_HOST] if names else ""


@lru_cache(maxsize=1024)
def limit(stored: str) -> Limit:
    return _LIMIT.decode(stored)


def texts(stored: str) -> tuple[str, ...]:
    return _TEXTS.decode(stored)


def parameters(stored: str | None) -> dict[str, str]:
    return {} if stored is None else _PARAMETERS.decode(stored)


def ranges(stored: str) -> tuple[tuple[int, int], ...]:
    return _RANGES.decode(stored)
