"""The section ``[queues.cloud]``: which cloud, and which machines are started there."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from urllib.parse import urlsplit

from central.configuration import settings_fields as read
from central.configuration.elements import Cloud
from central.configuration.settings import CLOUD_PLUGINS, CLOUDS, KINDS, Queue
from central.configuration.settings_elements import matching, path
from pilot.destination import is_metadata
from pilot.errors import InvalidInput
from pilot.fields import Fields, strings
from wrappers.user_data.model import LEAST_LIFE

#: What speaks for whom, by the queue's kind; guests of this host are started by the central's own user.
CREDENTIAL = {"openstack": "application-credential", "ec2": "access-key"}
#: Kinds that need to be told where their API is.
_WITH_URL = ("openstack",)
_MOST_PRICE = 10_000.0
#: Seconds: a director's turn, which asks more than once, is given up after half an hour.
_MOST_PATIENCE = 900
#: A name or an id, as people and clouds give them to flavors, images, networks and keys.
_THING = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_ .,:@()/+=-]{0,198}[A-Za-z0-9_.)])?")
_URL = re.compile(r"https?://[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})(?::[0-9]{1,5})?(?:/[A-Za-z0-9._/-]{0,200})?")
#: Hosts to which a secret may go without TLS: it does not leave this one.
_HERE = re.compile(r"http://(?:127\.0\.0\.1|localhost)(?:[:/]|$)")


def cloud(fields: Fields) -> Cloud | None:
    """None where the section is absent."""
    if not fields.left:
        return None
    default = Cloud("", "")
    found = Cloud(
        flavor=matching(fields, "flavor", _THING, "a flavor's name or id"),
        image=matching(fields, "image", _THING, "an image's name or id"),
        url=matching(fields, "url", _URL, "https://HOST[:PORT][/PATH]"),
        region=matching(fields, "region", _THING, "a region's name"),
        networks=strings(fields, "networks", most=20, each=_thing),
        security_groups=strings(fields, "security_groups", most=20, each=_thing),
        zone=matching(fields, "zone", _THING, "an availability zone's name"),
        key=matching(fields, "key", _THING, "a key's name"),
        config_drive=read.flag(fields, "config_drive", default.config_drive),
        ca=path(fields, "ca"),
        spot=read.flag(fields, "spot", default.spot),
        most=_price(fields, "most"),
        keep=fields.whole("keep", default.keep, least=0, most=10_000),
        folder=path(fields, "folder"),
        patience=read.seconds(fields, "patience", default.patience),
    )
    for key in ("flavor", "image"):
        if not getattr(found, key):
            fields.problem(key, "expected its name or id, as the cloud has it")
    if found.patience > _MOST_PATIENCE:
        fields.problem("patience", f"expected at most {_MOST_PATIENCE} s, got {found.patience:g} s")
    if found.url.startswith("http:") and not _HERE.match(found.url):
        fields.problem("url", f"expected https: without TLS the credential could be read on its way, got {found.url}")
    if found.url and is_metadata(urlsplit(found.url).hostname or ""):
        fields.problem("url", f"expected where the API of a cloud is, got {found.url}, where clouds tell secrets")
    fields.finish()
    return found


def is_cloud(kind: str) -> bool:
    """Whether pilots of such a queue are virtual machines: in one of our clouds, or in that of a plug-in."""
    return kind in CLOUDS or (kind not in KINDS and kind in entry_points(group=CLOUD_PLUGINS).names)


def account(queue: Queue) -> tuple[object, ...]:
    """Where the machines of a queue are; empty: it has none. What has the same word shares an account."""
    cloud = queue.cloud
    return (queue.kind, cloud.url, cloud.region, cloud.folder, queue.credential) if cloud else ()


def check(fields: Fields, queue: Queue) -> None:
    """What goes with a queue whose pilots are virtual machines, and with no other."""
    cloud = is_cloud(queue.kind)
    if cloud != (queue.cloud is not None):
        kinds = ", ".join(CLOUDS)
        fields.problem("cloud", f"expected it for queues of the kinds {kinds} and no others, and this is {queue.kind}")
    if queue.cloud is None or not cloud:
        return
    if not isinstance(queue.wall_time, int) or queue.wall_time < LEAST_LIFE:
        fields.problem(
            "wall_time",
            f"expected how long a machine lives at most, {LEAST_LIFE} s or more, as 14 d; got {queue.wall_time}",
        )
    if queue.kind in _WITH_URL and not queue.cloud.url:
        fields.problem(
            "cloud.url", f"expected where the API of the cloud is: a queue of the kind {queue.kind} needs it"
        )
    _check_credential(fields, queue)
    if queue.work or queue.environment:
        key = "work" if queue.work else "environment"
        fields.problem(key, "expected none: user-data says where a machine's pilot works, and with which environment")


def _check_credential(fields: Fields, queue: Queue) -> None:
    if queue.kind not in CLOUDS:
        return  # what the cloud of a plug-in is spoken to with is known to that alone
    needed, held = CREDENTIAL.get(queue.kind), queue.credential
    if needed and (held is None or held.kind != needed):
        got = f"one of the kind {held.kind}" if held else "none"
        fields.problem("credential", f"expected one of the kind {needed}, in a section [queues.credential]; got {got}")
    elif held and not needed:
        fields.problem("credential", f"expected none: nobody is asked for one by a queue of the kind {queue.kind}")


def _price(fields: Fields, key: str) -> float | None:
    """Of an hour, in the cloud's currency; None where nothing is said."""
    value = fields.take(key, None)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _MOST_PRICE:
        fields.problem(key, f"expected the price of an hour, 0 to {_MOST_PRICE:g}, got {value!r}")
        return None
    return float(value)


def _thing(text: str, where: str) -> str:
    if not _THING.fullmatch(text):
        raise InvalidInput(where, f"expected a name or an id, got {text!r}")
    return text
