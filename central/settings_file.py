"""Reading the central's settings: the whole TOML file is checked, and every mistake is told with its place.

Durations and sizes may be written with units (``4h``, ``500 MB``), and an amount may be ``"unlimited"``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from central.records import Identity
from central.settings import KINDS, ROLES, ApiToken, CentralSettings, Community, Group, Queue, Service, Site
from pilot import protocol, units
from pilot.errors import InvalidInput, PilotageError
from pilot.fields import Fields, strings
from pilot.protocol import UNLIMITED, Amount, Gpu, Platform

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_GLIBC = re.compile(r"(\d+)\.(\d+)")
T = TypeVar("T")


class InvalidSettings(PilotageError):
    """The settings file has mistakes; the message lists every one, with its place."""

    def __init__(self, name: str, problems: Sequence[InvalidInput]) -> None:
        super().__init__("\n".join(f"{name}: {problem}" for problem in problems))
        self.problems = tuple(problems)


def load(path: Path) -> CentralSettings:
    """Read a file. Raises `InvalidSettings`, or `PilotageError` when it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PilotageError(f"{path}: the settings cannot be read ({error}); `init` makes them") from error
    return read(text, path.name)


def read(text: str, name: str = "central.toml") -> CentralSettings:
    """Read the text of a settings file. Raises `InvalidSettings` with every mistake; `name` is how they call it."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettings(name, [InvalidInput("", f"this is not TOML: {error}")]) from error
    problems: list[InvalidInput] = []
    top = Fields(document, "", problems)
    service = _service(top.section("central"))
    communities = _each(top, "communities", _community)
    names = tuple(community.name for community in communities)
    sites = _each(top, "sites", lambda entry: Site(_name(entry)))
    settings = CentralSettings(
        service,
        communities,
        _each(top, "tokens", lambda entry: _token(entry, communities)),
        sites,
        _each(top, "queues", lambda entry: _queue(entry, service, names, sites)),
    )
    top.finish()
    _unique(problems, "communities", [community.name for community in settings.communities])
    _unique(problems, "sites", [site.name for site in settings.sites])
    _unique(problems, "queues", [queue.name for queue in settings.queues])
    _unique(problems, "tokens", [token.name for token in settings.tokens])
    _unique(problems, "tokens", [token.sha256 for token in settings.tokens], "sha256")
    if problems:
        raise InvalidSettings(name, problems)
    return settings


def _service(fields: Fields) -> Service:
    default = Service()
    port = fields.whole("port", default.port, least=1, most=65535)
    bind = fields.text("bind", default.bind) or ""
    service = Service(
        bind=bind,
        port=port,
        url=_url(fields, f"https://{_host(bind)}:{port}"),
        database=fields.text("database", default.database) or "",
        objects=fields.text("objects", default.objects) or "",
        pilot=fields.text("pilot", default.pilot) or "",
        lease=fields.duration("lease", default.lease, least=1),
        beat=_seconds(fields, "beat", default.beat),
        silent_after=_seconds(fields, "silent_after", default.silent_after),
        log_bound=_bytes(fields, "log_bound", default.log_bound),
        sandbox_bound=_bytes(fields, "sandbox_bound", default.sandbox_bound),
        token_life=fields.duration("token_life", default.token_life, least=1),
        job_token_life=fields.duration("job_token_life", default.job_token_life, least=1),
        max_held=fields.whole("max_held", default.max_held, least=1, most=1_000_000),
        match_wait=fields.duration("match_wait", default.match_wait),
        certificate_life=fields.duration("certificate_life", default.certificate_life, least=1),
    )
    if service.lease < 2 * service.beat:
        fields.problem("lease", f"expected at least two heartbeats ({2 * service.beat:g} s), got {service.lease} s")
    fields.finish()
    return service


def _host(bind: str) -> str:
    if bind in ("0.0.0.0", "::", "127.0.0.1", "::1"):  # noqa: S104 - compared, not bound
        return "localhost"
    return f"[{bind}]" if ":" in bind else bind


def _url(fields: Fields, default: str) -> str:
    url = (fields.text("url", default) or "").rstrip("/")
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "https" and parts.hostname and not (parts.path or parts.query) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        fields.problem("url", f"expected an address like https://host:port, got {url!r}")
    return url


def _community(fields: Fields) -> Community:
    community = Community(_name(fields), _share(fields), _each(fields, "groups", _group))
    _unique(fields.problems, fields.path("groups"), [group.name for group in community.groups])
    fields.finish()
    return community


def _group(fields: Fields) -> Group:
    group = Group(_name(fields), _share(fields))
    fields.finish()
    return group


def _token(fields: Fields, communities: Sequence[Community]) -> ApiToken:
    identity = Identity(
        user=_name(fields, "user"),
        community=_name(fields, "community"),
        group=_name(fields, "group"),
        role=fields.text("role", "member", choices=ROLES) or "member",
    )
    known = {community.name: {group.name for group in community.groups} for community in communities}
    if identity.community not in known:
        fields.problem("community", f"expected a declared community, got {identity.community!r}")
    elif identity.group not in known[identity.community]:
        fields.problem("group", f"expected a declared group of {identity.community}, got {identity.group!r}")
    digest = fields.text("sha256", "") or ""
    if not _SHA256.fullmatch(digest):
        fields.problem("sha256", f"expected the token's SHA-256 as 64 hex digits, got {digest!r}")
    token = ApiToken(_name(fields), digest, identity)
    fields.finish()
    return token


def _queue(fields: Fields, service: Service, communities: tuple[str, ...], sites: Sequence[Site]) -> Queue:
    default = Queue("", "")
    site = _name(fields, "site")
    if site not in {known.name for known in sites}:
        fields.problem("site", f"expected a declared site, got {site!r}")
    lease = fields.duration("lease", service.lease, least=1)
    if lease < 2 * service.beat:
        fields.problem("lease", f"expected at least two heartbeats ({2 * service.beat:g} s), got {lease} s")
    allowed = strings(fields, "communities", most=1000, empty_is_wrong=True) or communities
    for unknown in set(allowed) - set(communities):
        fields.problem("communities", f"expected declared communities, got {unknown!r}")
    idle = fields.duration("idle", default.idle, least=1)
    queue = Queue(
        name=_name(fields),
        site=site,
        kind=fields.text("kind", default.kind, choices=KINDS) or default.kind,
        slots=fields.whole("slots", default.slots, least=0, most=1_000_000),
        max_submit=fields.whole("max_submit", default.max_submit, least=1, most=10_000),
        cores=fields.whole("cores", default.cores, least=1, most=65_536),
        memory=_amount(fields, "memory", None, _size),
        disk=_amount(fields, "disk", None, _size),
        gpus=_gpus(fields),
        wall_time=_amount(fields, "wall_time", UNLIMITED, units.duration),
        platform=_platform(fields.section("platform")),
        tags=strings(fields, "tags", most=1000),
        required_tags=strings(fields, "required_tags", most=100),
        communities=allowed,
        lease=lease,
        secret_ttl=fields.duration("secret_ttl", default.secret_ttl, least=1),
        idle=idle,
        settings=_pilot_settings(fields.section("settings"), service, allowed, lease, idle),
    )
    fields.finish()
    return queue


def _pilot_settings(
    fields: Fields, service: Service, communities: tuple[str, ...], lease: int, idle: int
) -> protocol.Settings:
    default = protocol.Settings()
    settings = protocol.Settings(
        communities=communities,
        pipeline=strings(fields, "pipeline", most=100),
        lease=lease,
        beat=service.beat,
        idle=idle,
        match_wait=fields.duration("match_wait", service.match_wait),
        halting=fields.text("halting", default.halting, choices=("elastic", "static", "never")) or default.halting,
        log_bound=_bytes(fields, "log_bound", service.log_bound),
        log_interval=_seconds(fields, "log_interval", default.log_interval),
        spool_bound=_bytes(fields, "spool_bound", default.spool_bound),
        min_disk=_bytes(fields, "min_disk", default.min_disk),
        margin=fields.duration("margin", default.margin),
        isolation=fields.text("isolation", default.isolation, choices=("none", "required")) or default.isolation,
    )
    fields.finish()
    return settings


def _platform(fields: Fields) -> Platform:
    glibc = fields.text("glibc", None)
    found = _GLIBC.fullmatch(glibc) if glibc else None
    if glibc and not found:
        fields.problem("glibc", f"expected a version like 2.28, got {glibc!r}")
    microarch = fields.whole("microarch", 0, least=0, most=4)
    platform = Platform(
        arch=fields.text("arch", None, most=40),
        microarch=microarch or None,
        glibc=(int(found[1]), int(found[2])) if found else None,
        os=fields.text("os", None, most=80),
    )
    fields.finish()
    return platform


def _gpus(fields: Fields) -> tuple[Gpu, ...]:
    value = fields.left.get("gpus")
    if not isinstance(value, dict):
        return (Gpu("any"),) * fields.whole("gpus", 0, least=0, most=1024)
    inside = fields.section("gpus")
    count = inside.whole("count", 1, least=0, most=1024)
    memory = inside.size("memory").fixed or None
    gpu = Gpu(inside.text("model", "any") or "any", memory, inside.text("capability", None, most=20))
    inside.finish()
    return (gpu,) * count


def _name(fields: Fields, key: str = "name") -> str:
    value = fields.take(key, "")
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        fields.problem(key, f"expected a name of letters, digits, dots, dashes and underscores, got {value!r}")
        return ""
    return value


def _share(fields: Fields) -> float:
    value = fields.take("share", 1.0)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1e6:
        fields.problem("share", f"expected a number above 0, got {value!r}")
        return 1.0
    return float(value)


def _seconds(fields: Fields, key: str, default: float) -> float:
    """A duration that may be a fraction of a second."""
    value = fields.take(key, default)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if 0.05 <= value <= units.MAX_SECONDS:
            return float(value)
        fields.problem(key, f"expected 0.05 s or more, got {value!r}")
        return default
    fields.left[key] = value
    return float(fields.duration(key, int(default), least=1))


def _bytes(fields: Fields, key: str, default: int) -> int:
    return fields.size(key).fixed or default


def _size(value: str | float, where: str) -> int:
    return units.size(value, where).fixed


def _amount(fields: Fields, key: str, default: Amount, convert: Callable[[Any, str], int]) -> Amount:
    value = fields.take(key, default)
    if value is None:
        return None
    if value == UNLIMITED:
        return UNLIMITED
    try:
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise InvalidInput("", f"expected an amount or {UNLIMITED}, got {value!r}")
        return convert(value, "")
    except InvalidInput as problem:
        fields.problem(key, problem.problem)
        return default


def _each(fields: Fields, key: str, convert: Callable[[Fields], T]) -> tuple[T, ...]:
    """An array of tables, each through `convert`."""
    entries = fields.listed(key, most=10_000)
    return tuple(
        convert(Fields(entry, fields.path(f"{key}[{index}]"), fields.problems)) for index, entry in enumerate(entries)
    )


def _unique(problems: list[InvalidInput], where: str, values: Sequence[str], key: str = "name") -> None:
    for index, value in enumerate(values):
        if value and value in values[:index]:
            problems.append(InvalidInput(f"{where}[{index}].{key}", f"expected something new, got {value!r} again"))
