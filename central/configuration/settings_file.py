"""Reading the central's settings: the whole TOML file is checked, and every mistake is told with its place.

Durations and sizes may be written with units (``4h``, ``500 MB``), and an amount may be ``"unlimited"``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from central.configuration.settings import (
    KEY_RINGS,
    ROLES,
    SITE_ADMIN,
    ApiToken,
    CentralSettings,
    Community,
    Group,
    Service,
    Shares,
    Site,
    is_postgresql,
    workers_problem,
)
from central.configuration.settings_certificates import certificates
from central.configuration.settings_fields import amount, each, name, number, rate, seconds, share, token_url, unique
from central.configuration.settings_limits import limit
from central.configuration.settings_login import login
from central.configuration.settings_pipelines import bundle_keys, check, layer, of_queue
from central.configuration.settings_queues import queue
from central.records import Identity
from pilot import units
from pilot.errors import InvalidInput, PilotageError
from pilot.fields import Fields, strings

#: Seconds for which a job is kept after its end at least.
LEAST_KEPT = 60
_SHA256 = re.compile(r"[0-9a-f]{64}")


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


def read(text: str, file: str = "central.toml") -> CentralSettings:
    """Read the text of a settings file. Raises `InvalidSettings` with every mistake; `file` is how they call it."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettings(file, [InvalidInput("", f"this is not TOML: {error}")]) from error
    problems: list[InvalidInput] = []
    top = Fields(document, "", problems)
    service = _service(top.section("central"))
    communities = each(top, "communities", _community)
    names = tuple(community.name for community in communities)
    sites = each(top, "sites", _site)
    queues = each(top, "queues", lambda entry: queue(entry, service, names, sites))
    settings = CentralSettings(
        service,
        communities,
        each(top, "tokens", lambda entry: _token(entry, communities, sites)),
        sites,
        queues,
        _shares(top.section("shares")),
        each(top, "limits", lambda entry: limit(entry, communities, queues)),
        tuple(own for index, queue in enumerate(queues) for own in of_queue(queue, f"queues[{index}].settings"))
        + each(top, "pipelines", lambda entry: layer(entry, names, queues)),
        login(top),
        certificates(top, service.port),
    )
    check(settings.pipelines, queues, problems)
    top.finish()
    unique(problems, "communities", [community.name for community in settings.communities])
    unique(problems, "sites", [site.name for site in settings.sites])
    unique(problems, "queues", [queue.name for queue in settings.queues])
    unique(problems, "limits", [limit.name for limit in settings.limits])
    unique(problems, "tokens", [token.name for token in settings.tokens])
    unique(problems, "tokens", [token.sha256 for token in settings.tokens], "sha256")
    if problems:
        raise InvalidSettings(file, problems)
    return settings


def _service(fields: Fields) -> Service:
    default = Service()
    port = fields.whole("port", default.port, least=1, most=65535)
    bind = fields.text("bind", default.bind) or ""
    service = Service(
        bind=bind,
        port=port,
        url=_url(fields, f"https://{_host(bind)}:{port}"),
        database=_database(fields, default.database),
        objects=fields.text("objects", default.objects) or "",
        pilot=fields.text("pilot", default.pilot) or "",
        lease=fields.duration("lease", default.lease, least=1),
        beat=seconds(fields, "beat", default.beat),
        silent_after=seconds(fields, "silent_after", default.silent_after),
        log_bound=fields.bytes("log_bound", default.log_bound, least=1),
        sandbox_bound=fields.bytes("sandbox_bound", default.sandbox_bound),
        token_life=fields.duration("token_life", default.token_life, least=1),
        job_token_life=fields.duration("job_token_life", default.job_token_life, least=1),
        max_held=fields.whole("max_held", default.max_held, least=1, most=1_000_000),
        match_wait=fields.duration("match_wait", default.match_wait),
        certificate_life=fields.duration("certificate_life", default.certificate_life, least=1),
        max_connections=fields.whole("max_connections", default.max_connections, least=100, most=1_000_000),
        max_connections_per_address=fields.whole(
            "max_connections_per_address", default.max_connections_per_address, least=10, most=1_000_000
        ),
        person_rate=rate(fields, "person_rate", default.person_rate),
        person_waiting=number(fields, "person_waiting", default.person_waiting, 10**9),
        person_sandbox=amount(fields, "person_sandbox", default.person_sandbox, units.bytes_of),
        pilot_rate=rate(fields, "pilot_rate", default.pilot_rate),
        failure_rate=rate(fields, "failure_rate", default.failure_rate),
        workers=fields.whole("workers", default.workers, least=1, most=256),
        key_ring=fields.text("key_ring", default.key_ring, choices=KEY_RINGS) or "",
        token_urls=strings(fields, "token_urls", most=50, each=token_url),
        token_ca=fields.text("token_ca", default.token_ca, most=4096) or "",
        keep_jobs=amount(fields, "keep_jobs", default.keep_jobs, units.duration),
        keep_logs=amount(fields, "keep_logs", default.keep_logs, units.duration),
        keep_audit=amount(fields, "keep_audit", default.keep_audit, units.duration),
        keep_people=amount(fields, "keep_people", default.keep_people, units.duration),
    )
    if isinstance(service.keep_jobs, int) and service.keep_jobs < LEAST_KEPT:
        fields.problem("keep_jobs", f"expected at least {LEAST_KEPT} s: who waits for a job must see how it ended")
    if isinstance(service.keep_logs, int) and service.keep_logs < LEAST_KEPT:
        fields.problem("keep_logs", f"expected at least {LEAST_KEPT} s: who follows a log must see its end")
    if isinstance(service.keep_audit, int) and service.keep_audit < LEAST_KEPT:
        fields.problem("keep_audit", f"expected at least {LEAST_KEPT} s: who asks what happened must find it")
    if isinstance(service.keep_people, int) and service.keep_people < LEAST_KEPT:
        fields.problem("keep_people", f"expected at least {LEAST_KEPT} s: who is refused must find what ended")
    if problem := workers_problem(service.workers, service.database):
        fields.problem("workers", problem)
    if service.lease < 2 * service.beat:
        fields.problem("lease", f"expected at least two heartbeats ({2 * service.beat:g} s), got {service.lease} s")
    fields.finish()
    return service


def _database(fields: Fields, default: str) -> str:
    """A file, or the address of a PostgreSQL: without a password, since this file is read, shown and copied."""
    value = fields.text("database", default) or ""
    scheme, separator, rest = value.partition("://")
    if not separator:
        return value
    if not is_postgresql(value):
        fields.problem("database", f"expected a file, or an address like postgresql://host/name, got {scheme}://…")
        return default
    account, at, _ = rest.partition("/")[0].rpartition("@")
    words = {key.lower() for key, _ in parse_qsl(urlsplit(value).query, keep_blank_values=True)}
    if (at and ":" in account) or words & {"password", "sslpassword"}:
        fields.problem(
            "database",
            "expected an address without a password: put it into ~/.pgpass, or into a file of that kind which the"
            " address names (postgresql://…?passfile=/path), readable by its owner alone",
        )
        return default
    return value


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


def _shares(fields: Fields) -> Shares:
    shares = Shares(fields.duration("half_life", Shares().half_life, least=1))
    fields.finish()
    return shares


def _site(fields: Fields) -> Site:
    site = Site(name(fields))
    fields.finish()
    return site


def _community(fields: Fields) -> Community:
    community = Community(name(fields), share(fields), each(fields, "groups", _group), bundle_keys(fields))
    unique(fields.problems, fields.path("groups"), [group.name for group in community.groups])
    fields.finish()
    return community


def _group(fields: Fields) -> Group:
    group = Group(name(fields), share(fields))
    fields.finish()
    return group


def _token(fields: Fields, communities: Sequence[Community], sites: Sequence[Site]) -> ApiToken:
    identity = _site_admin(fields, sites) if fields.given("site") else _member(fields, communities)
    digest = fields.text("sha256", "") or ""
    if not _SHA256.fullmatch(digest):
        fields.problem("sha256", f"expected the token's SHA-256 as 64 hex digits, got {digest!r}")
    token = ApiToken(name(fields), digest, identity)
    fields.finish()
    return token


def _site_admin(fields: Fields, sites: Sequence[Site]) -> Identity:
    role = fields.text("role", SITE_ADMIN, choices=(SITE_ADMIN,)) or ""
    identity = Identity(name(fields, "user"), "", "", role, name(fields, "site"))
    if identity.site and identity.site not in {site.name for site in sites}:
        fields.problem("site", f"expected a declared site, got {identity.site!r}")
    return identity


def _member(fields: Fields, communities: Sequence[Community]) -> Identity:
    identity = Identity(
        user=name(fields, "user"),
        community=name(fields, "community"),
        group=name(fields, "group"),
        role=fields.text("role", "member", choices=ROLES) or "member",
    )
    known = {community.name: {group.name for group in community.groups} for community in communities}
    if identity.community not in known:
        fields.problem("community", f"expected a declared community, got {identity.community!r}")
    elif identity.group not in known[identity.community]:
        fields.problem("group", f"expected a declared group of {identity.community}, got {identity.group!r}")
    return identity
