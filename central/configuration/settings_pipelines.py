"""The section ``[[pipelines]]`` of the settings: whose pilots run other commands, or with other options."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence

from central.configuration import settings_fields as read
from central.configuration.pipelines import Addition, Layer, Place, resolve
from central.configuration.settings import Queue
from pilot import units
from pilot.bundles import MAX_TIMEOUT
from pilot.errors import InvalidInput
from pilot.fields import Fields, is_number, shown, strings
from pilot.standard import MOST, OURS_ALONE, RECORDS, is_theirs, option_problem

#: Bytes of an Ed25519 public key.
KEY_SIZE = 32
_LONGEST_OPTION = 4096


def layer(fields: Fields, communities: Sequence[str], queues: Sequence[Queue]) -> Layer:
    """One table. The community that it names must be declared, and only a community's table may name commands of
    bundles. A site or a queue may be one that an operator adds later: `central/configuration/unmet.py` tells of those
    that there are not."""
    found = Layer(
        fields.where,
        _declared(fields, "community", communities),
        fields.text("site", "", most=100) or "",
        fields.text("queue", "", most=100) or "",
        strings(fields, "order", most=MOST, each=command_name, empty_is_wrong=True),
        _replace(fields),
        read.each(fields, "add", _addition),
        _options(fields),
        _timeouts(fields),
    )
    fields.finish()
    theirs = [name for name in found.names() if is_theirs(name)]
    if theirs and not found.community:
        fields.problem(
            "community", f"expected the community whose bundle has {theirs[0]}: without one this is for every pilot"
        )
    place = next((queue.site for queue in queues if queue.name == found.queue), found.site)
    if found.site and place != found.site:
        fields.problem("queue", f"expected a queue of the site {found.site}, got one of {place}")
    return found


def of_queue(queue: Queue, where: str) -> tuple[Layer, ...]:
    """What a queue's own settings say of the pipeline, as a layer."""
    names = tuple(step.command for step in queue.settings.pipeline)
    return (Layer(where, queue=queue.name, order=names),) if names else ()


def check(layers: Sequence[Layer], queues: Sequence[Queue], problems: list[InvalidInput]) -> None:
    """Resolve the pipelines of every queue. Those with commands of bundles are checked whole once these are known."""
    seen = {(problem.where, problem.problem) for problem in problems}
    for index, queue in enumerate(queues):
        resolved = resolve(layers, place_of(queue))
        found = list(resolved.problems)
        texts: list[str] = []
        if resolved.theirs and not place_of(queue).community:
            texts = [f"{resolved.theirs[0]} is a bundle's, and the pilots of this queue serve several communities"]
        elif not resolved.theirs and not found:
            texts = resolved.check(())
        found += [InvalidInput(f"queues[{index}]", f"its pipeline cannot be run: {text}") for text in texts]
        for problem in found:
            if (problem.where, problem.problem) not in seen:
                seen.add((problem.where, problem.problem))
                problems.append(problem)


def place_of(queue: Queue, communities: Sequence[str] | None = None) -> Place:
    """Where the pilots of a queue stand, that were started for these communities."""
    whom = queue.communities if communities is None else communities
    return Place(queue.site, queue.name, whom[0] if len(whom) == 1 else "")


def bundle_keys(fields: Fields) -> tuple[bytes, ...]:
    """The public keys that a community signs its bundles with: ``ed25519:`` and base64."""
    return tuple(_key(text) for text in strings(fields, "bundle_keys", most=20, each=_checked_key))


def _checked_key(text: str, where: str) -> str:
    if len(_key(text)) != KEY_SIZE:
        raise InvalidInput(where, f"expected ed25519: and {KEY_SIZE} bytes in base64, got {text[:80]!r}")
    return text


def _key(text: str) -> bytes:
    kind, _, rest = text.partition(":")
    try:
        return base64.b64decode(rest, validate=True) if kind == "ed25519" else b""
    except (binascii.Error, ValueError):
        return b""


def _declared(fields: Fields, key: str, known: Sequence[str]) -> str:
    value = fields.text(key, "", most=100) or ""
    if value and value not in known:
        fields.problem(key, f"expected a declared {key}, got {value!r}")
    return value


def command_name(text: str, where: str) -> str:
    """A name that a pipeline may have. Raises `InvalidInput`."""
    if text not in RECORDS and not is_theirs(text):
        known = ", ".join(RECORDS)
        raise InvalidInput(where, f"expected one of {known}, or module:attribute of a bundle, got {text!r}")
    return text


def _texts(fields: Fields, key: str) -> Mapping[str, str]:
    """A table of texts; numbers count as texts."""
    value = fields.take(key, {})
    if not isinstance(value, dict):
        fields.problem(key, f"expected a table, got {shown(value)}")
        return {}
    found = {}
    for name, given in value.items():
        text = str(given) if is_number(given) else given
        if not isinstance(text, str) or "\0" in text or len(text) > _LONGEST_OPTION:
            fields.problem(f"{key}.{name}", f"expected a text of at most {_LONGEST_OPTION} characters")
            continue
        found[name] = text
    return found


def _replace(fields: Fields) -> Mapping[str, str]:
    found = _texts(fields, "replace")
    for old, new in found.items():
        for name in (old, new):
            _tell(fields, f"replace.{old}", name)
        if old in OURS_ALONE:
            kept = ", ".join(sorted(OURS_ALONE))
            fields.problem(f"replace.{old}", f"expected another command: only the pilot itself can do {kept}")
    return found


def _addition(fields: Fields) -> Addition:
    addition = Addition(*(fields.text(key, "", most=300) or "" for key in ("command", "after", "before")))
    _tell(fields, "command", addition.command)
    if bool(addition.after) == bool(addition.before):
        fields.problem("", "expected either `after` or `before`, and the command that it is beside")
    fields.finish()
    return addition


def _tell(fields: Fields, key: str, name: str) -> None:
    try:
        command_name(name, fields.path(key))
    except InvalidInput as problem:
        fields.problems.append(problem)


def _options(fields: Fields) -> Mapping[str, Mapping[str, str]]:
    inside = fields.section("options")
    commands = list(inside.left)
    found = {command: _texts(inside, command) for command in commands}
    for command, values in found.items():
        _tell(fields, f"options.{command}", command)
        for name in values:
            if problem := option_problem(command, name):
                inside.problem(f"{command}.{name}", problem)
    return found


def _timeouts(fields: Fields) -> Mapping[str, int]:
    inside = fields.section("timeouts")
    commands = list(inside.left)
    for command in commands:
        _tell(fields, f"timeouts.{command}", command)
        if command == "run_jobs":
            fields.problem(f"timeouts.{command}", "expected another command: this one takes as long as there are jobs")
    found = {command: inside.duration(command, 1, least=1) for command in commands}
    for command, seconds in found.items():
        if seconds > MAX_TIMEOUT:
            fields.problem(f"timeouts.{command}", f"expected at most {units.show_duration(MAX_TIMEOUT)}")
    return found
