"""The section ``[[queues]]`` of the settings: what a pilot that starts there finds, and how it behaves."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points

from central.configuration import settings_clouds, settings_elements, settings_prices, settings_proxy
from central.configuration import settings_fields as read
from central.configuration.settings import CLOUD_PLUGINS, EXTERNAL, KINDS, LOCAL, PLUGINS, Queue, Service, Site
from central.configuration.settings_pipelines import command_name
from pilot import imagename, protocol, units
from pilot.binds import parse_bind
from pilot.errors import InvalidInput
from pilot.fields import Fields, host_and_port, strings
from pilot.halting import ELASTIC, MOST_PERIOD, POLICIES
from pilot.protocol import UNLIMITED, Gpu, Platform
from pilot.standard import MOST

#: As many as a pilot starts at most.
MAX_AGENTS = 256
#: Seconds that a virtual machine lives at most, and in which it must have called, where nothing is said.
LIFE, BOOT = 14 * 86400, 1800
#: Who shares an account with others: one community a pilot, several, nobody.
ISOLATION = ("community", "none", "required")
#: Whether payloads run in containers.
CONTAINERS = ("allowed", "required", "refused")


def queue(fields: Fields, service: Service, communities: tuple[str, ...], sites: Sequence[Site]) -> Queue:
    default = Queue("", "")
    site = _site(fields, sites)
    lease = fields.duration("lease", service.lease, least=1)
    if lease < 2 * service.beat:
        fields.problem("lease", f"expected at least two heartbeats ({2 * service.beat:g} s), got {lease} s")
    allowed = strings(fields, "communities", most=1000, empty_is_wrong=True) or communities
    for unknown in sorted(set(allowed) - set(communities)):
        fields.problem("communities", f"expected declared communities, got {unknown!r}")
    idle = fields.duration("idle", default.idle, least=1)
    kind = fields.text("kind", "", choices=_kinds(fields.left.get("kind"))) if fields.given("kind") else default.kind
    is_cloud = settings_clouds.is_cloud(kind or default.kind)
    result = Queue(
        name=read.name(fields),
        site=site,
        kind=kind or default.kind,
        slots=fields.whole("slots", default.slots, least=0, most=1_000_000),
        max_submit=fields.whole("max_submit", default.max_submit, least=1, most=10_000),
        cores=fields.whole("cores", default.cores, least=1, most=65_536),
        agents=fields.whole("agents", default.agents, least=1, most=MAX_AGENTS),
        memory=read.amount(fields, "memory", None, units.bytes_of),
        disk=read.amount(fields, "disk", None, units.bytes_of),
        gpus=_gpus(fields),
        wall_time=read.amount(fields, "wall_time", LIFE if is_cloud else UNLIMITED, units.duration),
        platform=_platform(fields.section("platform")),
        tags=strings(fields, "tags", most=1000),
        required_tags=strings(fields, "required_tags", most=100),
        communities=allowed,
        lease=lease,
        secret_ttl=fields.duration("secret_ttl", BOOT if is_cloud else default.secret_ttl, least=1),
        idle=idle,
        halting=fields.text("halting", default.halting, choices=POLICIES) or default.halting,
        billing_period=fields.duration("billing_period", default.billing_period),
        price=settings_prices.price(fields),
        metadata=fields.text("metadata", "", choices=("guard", "refuse", "open")) or "",
        policy=_on_the_node(fields, "policy"),
        drain_file=_on_the_node(fields, "drain_file"),
        work=_on_the_node(fields, "work"),
        slot_users=fields.text("slot_users", "", most=4096) or "",
        resume=read.flag(fields, "resume", False) if fields.given("resume") else None,
        cache=_on_the_node(fields, "cache"),
        reach=strings(fields, "reach", most=20, each=host_and_port),
        environment=read.environment(fields.section("environment")),
        proxy=settings_proxy.proxy(fields),
        no_proxy=settings_proxy.no_proxy(fields),
        interval=read.seconds(fields, "interval", 1.0) if fields.given("interval") else 0.0,
        ssh=settings_elements.ssh(fields.section("ssh")),
        credential=settings_elements.credential(fields.section("credential"), communities),
        arc=settings_elements.arc(fields.section("arc")),
        cloud=settings_clouds.cloud(fields.section("cloud")),
        batch=settings_elements.batch(fields.section("batch")),
        schedd=settings_elements.schedd(fields.section("schedd")),
        settings=_pilot_settings(fields.section("settings"), service, allowed, lease, idle),
    )
    if kind:  # nothing goes with one that there is not
        _check(fields, result)
    fields.finish()
    return result


def _check(fields: Fields, result: Queue) -> None:
    """What goes with what."""
    if result.agents > result.cores:
        fields.problem("agents", f"expected at most one for each of the {result.cores} cores, got {result.agents}")
    if result.credential and (result.ssh or result.kind in (LOCAL, EXTERNAL)):
        fields.problem(
            "credential", "expected none: it is for programs on this host, and for what is spoken to over the network"
        )
    if result.billing_period and result.halting != ELASTIC:
        fields.problem("billing_period", f"expected none with halting = {result.halting}: only elastic ones look at it")
    if result.billing_period > MOST_PERIOD:
        fields.problem("billing_period", f"expected at most a day, got {result.billing_period} s")
    if result.metadata == "refuse" and not result.slot_users:
        fields.problem("metadata", "expected slot_users with refuse: payloads that run as the pilot cannot be cut off")
    _check_ssh(fields, result)
    _check_schedd(fields, result)
    _check_gridengine(fields, result)
    _check_arc(fields, result)
    settings_clouds.check(fields, result)
    if result.environment and result.kind == EXTERNAL:
        fields.problem("environment", "expected none: whoever starts the pilots of an external queue has it")


def _site(fields: Fields, sites: Sequence[Site]) -> str:
    site = read.name(fields, "site")
    if site not in {known.name for known in sites}:
        there = ", ".join(known.name for known in sites) or "none"
        fields.problem("site", f"expected a declared site, got {site!r}; there are: {there}")
    return site


def _kinds(asked: object) -> tuple[str, ...]:
    """Those of ours and, where another is asked for, those of the distributions that are installed beside."""
    if asked in KINDS:
        return KINDS
    others = entry_points(group=PLUGINS).names | entry_points(group=CLOUD_PLUGINS).names
    return (*KINDS, *sorted(others.difference(KINDS)))


def _check_ssh(fields: Fields, result: Queue) -> None:
    if result.kind == "ssh" and not result.ssh:
        fields.problem("ssh", "expected the host that pilots are started on, in a section [queues.ssh]")
    if result.ssh and (result.kind in (LOCAL, EXTERNAL, "arc") or settings_clouds.is_cloud(result.kind)):
        fields.problem("ssh", f"expected none: a queue of the kind {result.kind} is not reached by SSH")
    elif result.ssh and not result.batch.folder:
        fields.problem("batch.folder", f"expected the folder on {result.ssh.host} where each pilot has a folder")


def _check_gridengine(fields: Fields, result: Queue) -> None:
    ours = result.kind == "gridengine"
    batch = result.batch
    words = {"parallel_environment": batch.parallel_environment, "memory_resource": batch.memory_resource}
    words |= {"gpu_resource": "" if result.kind == "oar" else batch.gpu_resource}
    for key, value in words.items():
        if value and not ours:
            fields.problem(f"batch.{key}", f"expected none: a queue of the kind {result.kind} has no use for it")
    if ours and result.cores > 1 and not batch.parallel_environment:
        fields.problem(
            "batch.parallel_environment",
            f"expected one that keeps a pilot of {result.cores} cores on one host (qconf -spl lists them)",
        )


def _check_schedd(fields: Fields, result: Queue) -> None:
    if result.schedd.name and result.kind != "condor":
        fields.problem("schedd", f"expected none: it is for queues of the kind condor, and this is {result.kind}")
    if result.kind == "condor" and result.batch.partition and not result.schedd.name:
        fields.problem("batch.partition", "expected none: HTCondor has no partitions, only an HTCondor-CE has queues")


def _check_arc(fields: Fields, result: Queue) -> None:
    if (result.kind == "arc") != (result.arc is not None):
        fields.problem("arc", f"expected it for queues of the kind arc and no others, and this is {result.kind}")
    elif result.arc and (bool(result.arc.proxy) + bool(result.arc.token) + bool(result.credential)) != 1:
        fields.problem("arc", "expected who we are there: one of proxy, token, and [queues.credential]")


def _pilot_settings(
    fields: Fields, service: Service, communities: tuple[str, ...], lease: int, idle: int
) -> protocol.Settings:
    default = protocol.Settings()
    settings = protocol.Settings(
        communities=communities,
        pipeline=tuple(protocol.Step(name) for name in strings(fields, "pipeline", most=MOST, each=command_name)),
        lease=lease,
        beat=service.beat,
        idle=idle,
        match_wait=fields.duration("match_wait", service.match_wait),
        log_bound=fields.bytes("log_bound", service.log_bound, least=1),
        log_interval=read.seconds(fields, "log_interval", default.log_interval),
        spool_bound=fields.bytes("spool_bound", default.spool_bound, least=1),
        min_disk=fields.bytes("min_disk", default.min_disk),
        max_processes=fields.whole("max_processes", default.max_processes, least=0, most=4_194_304),
        margin=fields.duration("margin", default.margin),
        notice=fields.duration("notice", default.notice),
        isolation=fields.text("isolation", default.isolation, choices=ISOLATION) or default.isolation,
        containers=fields.text("containers", default.containers, choices=CONTAINERS) or default.containers,
        image=_image(fields),
        job_images=read.flag(fields, "job_images", default.job_images),
        bind=strings(fields, "bind", most=100, each=_bind),
        image_cache=_on_the_node(fields, "image_cache"),
        image_cache_size=fields.bytes("image_cache_size", default.image_cache_size, least=1),
    )
    fields.finish()
    return settings


def _on_the_node(fields: Fields, key: str) -> str:
    """A path of the computers behind the queue."""
    path = fields.text(key, "", most=4096) or ""
    if path and not path.startswith("/"):
        fields.problem(key, f"expected an absolute path, got {path!r}")
    return path


def _image(fields: Fields) -> str:
    """An image that is at hand without a job's inputs."""
    text = fields.text("image", "", most=4096) or ""
    try:
        if text and imagename.parse(text).kind == "input":
            raise InvalidInput("", f"expected an absolute path or a registry's URL, got {text!r}")
    except InvalidInput as problem:
        fields.problem("image", problem.problem)
    return text


def _bind(text: str, where: str) -> str:
    parse_bind(text, where)
    return text


def _platform(fields: Fields) -> Platform:
    platform = Platform(
        arch=fields.text("arch", None, most=40),
        microarch=fields.whole("microarch", 0, least=0, most=4) or None,
        glibc=fields.version("glibc"),
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
    memory = inside.bytes("memory", 0) or None
    gpu = Gpu(inside.text("model", "any") or "any", memory, inside.text("capability", None, most=20))
    inside.finish()
    return (gpu,) * count
