"""The settings file: what is read, and what each mistake says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from central.configuration.elements import Batch, Schedd, Ssh
from central.configuration.expected import expected
from central.configuration.settings import Service
from central.configuration.settings_file import InvalidSettings, read
from central.directors.starting import declared
from central.init import Machine, render
from central.records import Identity, Limit
from commands.context import Capacity, GpuDevice
from commands.splitting import share
from pilot.protocol import UNLIMITED, Gpu, Platform

WHOLE = """
[central]
port = 7000
beat = 0.5
lease = "2 min"

[[communities]]
name = "physics"
share = 3
groups = [{name = "muons", share = 2.0}]

[[communities]]
name = "biology"

[[tokens]]
name = "laptop"
user = "ann"
community = "physics"
group = "muons"
role = "group-admin"
sha256 = "%s"

[[sites]]
name = "here"

[[queues]]
name = "big"
site = "here"
slots = 3
cores = 8
memory = "16 GiB"
disk = "unlimited"
gpus = {count = 2, memory = "40 GB", model = "A100"}
wall_time = "2d"
tags = ["cvmfs"]
required_tags = ["special"]
platform = {arch = "x86_64", microarch = 3, glibc = "2.36"}
lease = "5 min"
idle = "90 s"

[queues.settings]
log_bound = "1 MB"
margin = "1 min"
""" % ("ab" * 32)


def test_every_section_becomes_records() -> None:
    """A whole file is read into records, with units turned into seconds and bytes."""
    settings = read(WHOLE)
    assert settings.service.url == "https://localhost:7000"
    assert (settings.service.beat, settings.service.lease) == (0.5, 120)
    assert settings.communities[0].groups[0].share == 2.0
    assert settings.tokens[0].identity.role == "group-admin"
    (queue,) = settings.queues
    assert queue.memory == 16 * 2**30
    assert queue.communities == ("physics", "biology")
    assert (queue.settings.lease, queue.settings.idle, queue.settings.log_bound) == (300, 90, 10**6)


def test_a_queue_offers_what_it_says() -> None:
    """What director and explain assume of a queue is what its section says; what is not said is unknown."""
    (queue,) = read(WHOLE).queues
    offer = queue.offer()
    assert (offer.cores, offer.disk, offer.seconds_left) == (8, UNLIMITED, 2 * 86400)
    assert offer.gpus == (Gpu("A100", 40 * 10**9),) * 2
    assert offer.platform == Platform("x86_64", 3, (2, 36))
    plain = read('[[sites]]\nname = "s"\n[[communities]]\nname = "c"\n[[queues]]\nname = "q"\nsite = "s"').queues[0]
    assert (plain.offer().memory, plain.offer().seconds_left) == (None, UNLIMITED)


def test_a_queue_of_pilots_with_agents_offers_a_share() -> None:
    """Where pilots have several agents, a queue offers what the largest of them will, and nobody a whole node."""
    (queue,) = read(WHOLE.replace("cores = 8\n", "cores = 8\nagents = 3\n")).queues
    offer = queue.offer()
    devices = tuple(GpuDevice(index, None, gpu.model, gpu.memory) for index, gpu in enumerate(queue.gpus))
    first = share(Capacity(queue.cores, memory=queue.memory, disk=queue.disk, gpus=devices), 1, 3)
    assert (
        (offer.cores, offer.memory, offer.disk) == (first.cores, first.memory, first.disk) == (3, 6 * 2**30, UNLIMITED)
    )
    assert offer.gpus == tuple(gpu.offered() for gpu in first.gpus)
    assert not offer.empty
    assert (
        "queues[0].agents: expected at most one for each of the 8 cores, got 9"
        in mistakes(WHOLE.replace("cores = 8\n", "cores = 8\nagents = 9\n"))[0]
    )


KIM = WHOLE.replace('community = "physics"\ngroup = "muons"\nrole = "group-admin"', 'site = "here"')


def test_a_token_may_be_for_a_site() -> None:
    """Its owner is the admin there, and of no community."""
    assert read(KIM).tokens[0].identity == Identity("ann", "", "", "site-admin", "here")
    assert read(KIM.replace('site = "here"', 'site = "here"\nrole = "site-admin"', 1)).tokens == read(KIM).tokens


@pytest.mark.parametrize(
    ("new", "place"),
    [
        ('site = "moon"', "tokens[0].site: expected a declared site, got 'moon'"),
        ('site = ""', "tokens[0].site: expected a name"),
        ('site = "here"\nrole = "operator"', "tokens[0].role: expected one of site-admin"),
        ('site = "here"\ncommunity = "physics"', "tokens[0].community: unknown key"),
        ('community = "physics"\ngroup = "muons"\nrole = "site-admin"', "tokens[0].role: expected one of member"),
    ],
)
def test_what_does_not_go_with_a_site_is_told(new: str, place: str) -> None:
    """Neither another role, nor a community; and the role is nothing without a site."""
    assert place in "\n".join(mistakes(KIM.replace('site = "here"', new, 1)))


def mistakes(text: str) -> list[str]:
    with pytest.raises(InvalidSettings) as caught:
        read(text)
    return str(caught.value).splitlines()


def test_every_mistake_is_told_with_its_place() -> None:
    """One reading reports all mistakes, each as file, place, what was expected and what was found."""
    found = mistakes(
        WHOLE.replace("slots = 3", "slots = -1").replace('role = "group-admin"', 'role = "king"').replace("7000", '"x"')
    )
    assert len(found) == 3
    assert any(line.startswith("central.toml: queues[0].slots: expected a whole number from 0") for line in found)
    assert any(line.startswith("central.toml: tokens[0].role: expected one of member") for line in found)
    assert any(line.startswith("central.toml: central.port: expected") for line in found)


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("port = 7000", "prot = 7000", "central.prot: unknown key"),
        ("[[sites]]", "[[places]]", "places: unknown key"),
        ("beat = 0.5", "beat = 100", "central.lease: expected at least two heartbeats"),
        ("beat = 0.5", 'url = "http://here"', "central.url: expected an address like https"),
        ('name = "biology"', 'name = "physics"', "communities[1].name: expected something new"),
        ('group = "muons"', 'group = "tau"', "tokens[0].group: expected a declared group of physics"),
        ('sha256 = "ab', 'sha256 = "x', "tokens[0].sha256: expected"),
        ('site = "here"\nslots', 'site = "there"\nslots', "queues[0].site: expected a declared site"),
        ('tags = ["cvmfs"]', "communities = []", "queues[0].communities: expected at least one entry"),
        ('tags = ["cvmfs"]', 'communities = ["art"]', "queues[0].communities: expected declared communities"),
        ('memory = "16 GiB"', 'memory = "much"', "queues[0].memory: expected a size"),
        ("cores = 8", 'cores = 8\nkind = "moon"', "queues[0].kind: expected one of local"),
        ('margin = "1 min"', "margins = 1", "queues[0].settings.margins: unknown key"),
        ("share = 3", "share = 0", "communities[0].share: expected a number above 0"),
        ('name = "here"', 'name = "here"\ncolour = "red"', "sites[0].colour: unknown key"),
        ('memory = "16 GiB"', 'memory = "2 GB per core"', "queues[0].memory: expected a size that is the same"),
        ('glibc = "2.36"', 'glibc = ">=2.36"', "queues[0].platform.glibc: expected a version like 2.28"),
        ('glibc = "2.36"', "glibc = 2.3", "queues[0].platform.glibc: expected a version in quotes"),
        ('log_bound = "1 MB"', "log_bound = 0", "queues[0].settings.log_bound: expected at least 1 bytes"),
        ("beat = 0.5", 'keep_jobs = "soon"', "central.keep_jobs: expected a duration"),
        ("beat = 0.5", "keep_jobs = 5", "central.keep_jobs: expected at least 60 s"),
        ("beat = 0.5", "keep_logs = 5", "central.keep_logs: expected at least 60 s"),
        ("beat = 0.5", "keep_audit = 5", "central.keep_audit: expected at least 60 s"),
        ("beat = 0.5", "keep_people = 5", "central.keep_people: expected at least 60 s"),
        ("beat = 0.5", "workers = 2", "central.workers: expected 1 with SQLite, got 2"),
        ("beat = 0.5", "workers = 0", "central.workers: expected a whole number from 1"),
        ("beat = 0.5", 'database = "mysql://x/y"', "central.database: expected a file, or an address like postgresql"),
    ],
)
def test_a_mistake_names_its_key(old: str, new: str, place: str) -> None:
    """A wrong key, type or value is refused where it stands."""
    assert old in WHOLE
    assert any(line.startswith(f"central.toml: {place}") for line in mistakes(WHOLE.replace(old, new)))


LIMITS = """
[shares]
half_life = "2d"

[[limits]]
name = "all"
cores = 100

[[limits]]
name = "muons-here"
running = 7
site = "here"
community = "physics"
group = "muons"

[[limits]]
name = "licences"
running = 0
cores = 3
queue = "big"
owner = "ann"
tag = "solver"
"""


def test_shares_and_limits_are_read() -> None:
    """A limit is about everything that fits each field that it names; one without fields is about all."""
    plain, settings = read(WHOLE), read(WHOLE + LIMITS)
    assert (plain.shares.half_life, plain.limits) == (7 * 86400, ())
    assert settings.shares.half_life == 2 * 86400
    assert settings.limits == (
        Limit("all", cores=100),
        Limit("muons-here", attempts=7, site="here", community="physics", group="muons"),
        Limit("licences", attempts=0, cores=3, queue="big", owner="ann", tag="solver"),
    )


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('half_life = "2d"', "half_life = 0", "shares.half_life: expected at least 1 s"),
        ('half_life = "2d"', "halflife = 1", "shares.halflife: unknown key"),
        ("cores = 100", "", "limits[0]: expected `running`, `cores` or both"),
        ("cores = 100", "cores = -1", "limits[0].cores: expected a whole number from 0"),
        ('name = "muons-here"', 'name = "all"', "limits[1].name: expected something new"),
        ('name = "all"', "", "limits[0].name: expected a name"),
        ('community = "physics"', 'community = "art"', "limits[1].community: expected a declared community, got 'art'"),
        ('group = "muons"', 'group = "tau"', "limits[1].group: expected a declared group of physics, got 'tau'"),
        ('owner = "ann"', 'group = "tau"', "limits[2].group: expected a declared group, got 'tau'"),
        ('tag = "solver"', 'tag = "~solver"', "limits[2].tag: expected one tag that jobs demand"),
        ('tag = "solver"', 'tag = "a | b"', "limits[2].tag: expected one tag that jobs demand"),
        ('tag = "solver"', 'tag = "a ("', "limits[2].tag: expected one tag that jobs demand"),
        ('tag = "solver"', 'jobs = "x"', "limits[2].jobs: unknown key"),
    ],
)
def test_a_wrong_share_or_limit_names_its_key(old: str, new: str, place: str) -> None:
    """What a limit names must exist, and it must limit something."""
    assert old in LIMITS
    assert any(line.startswith(f"central.toml: {place}") for line in mistakes(WHOLE + LIMITS.replace(old, new)))


def test_a_limit_on_a_queue_of_another_site_is_a_mistake() -> None:
    """Nothing could ever count against it."""
    more = '[[sites]]\nname = "there"\n[[limits]]\nname = "l"\nrunning = 1\nsite = "there"\nqueue = "big"'
    (line,) = mistakes(WHOLE + more)
    assert line == "central.toml: limits[0].queue: expected a queue of there, got 'big', which is one of here"


def database(address: str, more: str = "") -> str:
    return WHOLE.replace("beat = 0.5", f'beat = 0.5\ndatabase = "{address}"\n{more}')


def test_a_postgresql_database_may_have_several_workers_and_jobs_may_be_kept_for_a_while() -> None:
    """Where the jobs are, how many processes serve them, and how long ended ones are kept."""
    plain, settings = read(WHOLE).service, read(database("postgresql://ada@db.example/jobs", "workers = 4")).service
    assert (plain.database, plain.workers, plain.keep_jobs, plain.keep_logs) == ("central.db", 1, *[UNLIMITED] * 2)
    assert (settings.database, settings.workers) == ("postgresql://ada@db.example/jobs", 4)
    assert read(WHOLE.replace("beat = 0.5", 'keep_jobs = "90d"')).service.keep_jobs == 90 * 86400


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ada:hunter2@db.example/jobs",
        "postgres://:hunter2@/jobs",
        "postgresql://db.example/jobs?user=ada&PassWord=hunter2",
        "postgresql://db.example/jobs?sslpassword=hunter2",
        "postgresql://ada:hunter2@one.example:5432,two.example:5433/jobs",
    ],
)
def test_a_password_in_the_settings_is_refused_and_not_repeated(address: str) -> None:
    """The sentence says where a password belongs, and does not show it once more."""
    (line,) = mistakes(database(address))
    assert line.startswith("central.toml: central.database: expected an address without a password")
    assert "~/.pgpass" in line
    assert "passfile" in line
    assert "hunter2" not in line


def test_an_address_of_a_database_may_name_a_file_of_passwords() -> None:
    """Nothing is refused that holds no password itself."""
    for address in ("postgresql:///jobs?host=/run/postgresql&passfile=/etc/pilotage/pgpass", "postgresql://[::1]:5/j"):
        assert read(database(address)).service.database == address


def test_what_is_not_toml_says_so() -> None:
    """A file that cannot be parsed is refused with the parser's position."""
    assert "this is not TOML" in mistakes("[central\n")[0]


def test_the_settings_that_init_writes_are_read() -> None:
    """What `init` writes for a machine is a whole settings file, with one queue that offers this machine."""
    settings = read(render(Machine("ann", 12, 64 * 10**9, 10**12, "aarch64"), Service(port=9999)))
    assert settings.service.port == 9999
    assert settings.queues[0].offer().cores == 12
    assert settings.queues[0].offer().memory == 64 * 10**9


def test_containers_are_expected_where_a_program_for_them_is_now() -> None:
    """Whenever the settings were written, a local queue expects containers once a program for them is installed, so
    that pilots are sent which try; a queue elsewhere expects what its settings declare."""
    (queue,) = read(render(Machine("ann", 12, 64 * 10**9, 10**12, "x86_64"), Service())).queues
    assert queue.tags == ()
    assert expected(queue, lambda name: None) == queue.offer()

    def found(name: str) -> str | None:
        return f"/usr/bin/{name}" if name == "apptainer" else None

    assert expected(queue, found).tags == ("container:apptainer", "container:sif", "container:isolated")
    tagged = replace(queue, tags=("ssd", "container:sif"))
    assert expected(tagged, found).tags == ("ssd", "container:sif", "container:apptainer", "container:isolated")
    elsewhere = replace(tagged, kind="external")
    assert expected(elsewhere, found) == elsewhere.offer()
    refusing = replace(queue, settings=replace(queue.settings, containers="refused"))
    assert expected(refusing, found).tags == ()


def test_xrootd_is_expected_where_its_client_is() -> None:
    """A job whose files go by root:// brings a pilot to this computer where xrdcp is installed."""
    (queue,) = read(render(Machine("ann", 12, 64 * 10**9, 10**12, "x86_64"), Service())).queues
    assert expected(queue, lambda name: "/usr/bin/xrdcp" if name == "xrdcp" else None).tags == ("xrdcp",)


def test_how_payloads_get_containers() -> None:
    """What a queue says of containers is read; an image that only a job could bring and a wrong bind are told."""
    lines = """
containers = "required"
image = "docker://alpine:3"
job_images = false
bind = ["/cvmfs", "?/data:/mnt:rw"]
image_cache = "/var/cache/pilotage"
image_cache_size = "5 GB"
"""
    settings = read(WHOLE + lines, "central.toml").queue("big").settings  # type: ignore[union-attr]
    assert (settings.containers, settings.image, settings.job_images) == ("required", "docker://alpine:3", False)
    assert (settings.bind, settings.image_cache) == (("/cvmfs", "?/data:/mnt:rw"), "/var/cache/pilotage")
    assert settings.image_cache_size == 5_000_000_000
    wrong = 'containers = "maybe"\nimage = "mine.sif"\njob_images = "no"\nbind = ["data"]\nimage_cache = "here"\n'
    with pytest.raises(InvalidSettings) as caught:
        read(WHOLE + wrong, "central.toml")
    told = str(caught.value)
    for key in ("containers", "image", "job_images", "bind", "image_cache"):
        assert f"settings.{key}" in told, told


def test_who_may_share_an_account() -> None:
    """One community a pilot where nothing is said, and everybody by the operator's word; other words are told."""
    said = [read(WHOLE + more, "central.toml").queue("big") for more in ("", 'isolation = "none"\n')]
    assert [queue.settings.isolation for queue in said if queue] == ["community", "none"]
    with pytest.raises(InvalidSettings, match=r"settings\.isolation: expected one of community, none, required"):
        read(WHOLE + 'isolation = "all"\n', "central.toml")


def test_whether_pilots_resume_is_for_the_queue_to_say() -> None:
    """What it does not say is left to the pilot, which knows as whom its payloads run."""
    text = '[[sites]]\nname = "s"\n[[communities]]\nname = "c"\n[[queues]]\nname = "q"\nsite = "s"\n'
    said = [read(text + more).queues[0].resume for more in ("", "resume = true", "resume = false")]
    assert said == [None, True, False]


QUEUE = '\n[[queues]]\nname = "more"\nsite = "here"\n'


def test_how_machines_halt_is_for_the_queue_to_say() -> None:
    """Its word reaches its pilots; what does not go together is told."""
    made = read(WHOLE + QUEUE + 'billing_period = "1 h"\n').queue("more")
    assert made is not None
    told = declared(made)
    assert (told["halting"], told["billing_period"], told["metadata"]) == ("elastic", 3600, None)
    still = read(WHOLE + QUEUE + 'halting = "static"\nmetadata = "refuse"\nslot_users = "20000-20063"\n').queue("more")
    assert still is not None
    assert (declared(still)["halting"], declared(still)["metadata"]) == ("static", "refuse")
    for wrong, said in (
        ('halting = "often"', "halting: expected one of elastic, static, never"),
        ('halting = "never"\nbilling_period = "1 h"', "billing_period: expected none with halting = never"),
        ('billing_period = "2 d"', "billing_period: expected at most a day, got 172800 s"),
        ('metadata = "refuse"', "metadata: expected slot_users with refuse"),
        ('metadata = "shut"', "metadata: expected one of guard, refuse, open"),
    ):
        [problem] = mistakes(WHOLE + QUEUE + wrong + "\n")
        assert said in problem


def test_a_queue_gives_its_pilots_an_environment() -> None:
    """Names with their values, in the order written; a queue without any has none."""
    line = 'environment = { X509_CERT_DIR = "/etc/pki", https_proxy = "http://proxy:3128" }\n'
    made = read(WHOLE + QUEUE + line, "central.toml").queue("more")
    assert made is not None
    assert made.environment == (("X509_CERT_DIR", "/etc/pki"), ("https_proxy", "http://proxy:3128"))
    assert read(WHOLE, "central.toml").queues[0].environment == ()


def test_a_queue_names_the_proxy_of_its_nodes() -> None:
    """By which they reach the outside, and what they reach without it."""
    made = read(WHOLE + QUEUE + 'proxy = "http://proxy.site:3128"\nno_proxy = ["se.site", "10.0.0.1"]\n').queue("more")
    assert made is not None
    assert (made.proxy, made.no_proxy) == ("http://proxy.site:3128", ("se.site", "10.0.0.1"))


@pytest.mark.parametrize(
    "line",
    [
        'proxy = "http://ann:sesame@proxy.site:3128"',
        'environment = { HTTPS_PROXY = "http://ann:sesame@proxy.site:3128" }',
        'batch = { environment = { all_proxy = "ann:sesame@proxy.site:3128" } }',
    ],
)
def test_a_proxy_with_a_password_is_refused_and_not_repeated(line: str) -> None:
    """What pilots start with is read by others on their nodes."""
    [said] = mistakes(WHOLE + QUEUE + line)
    assert "expected a proxy without user and password" in said
    assert "sesame" not in said


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('proxy = "https://proxy.site:3128"\n', "queues[1].proxy: expected http://HOST:PORT"),
        ('proxy = "proxy.site"\n', "queues[1].proxy: expected http://HOST:PORT"),
        ('no_proxy = ["se.site", "10.0.0.0/8"]\n', "queues[1].no_proxy[1]: expected a host, a domain or an address"),
        ('environment = { EOS_TOKEN = "a" }\n', "queues[1].environment.EOS_TOKEN: expected nothing secret"),
        ('environment = { PILOTAGE_WORK = "a" }\n', "queues[1].environment.PILOTAGE_WORK: expected a name"),
        ('environment = { "A-B" = "a" }\n', "queues[1].environment.A-B: expected a name"),
        ("environment = { A = 1 }\n", "queues[1].environment.A: expected a text"),
        ('kind = "external"\nenvironment = { A = "1" }\n', "queues[1].environment: expected none"),
    ],
)
def test_what_no_environment_of_a_queue_may_have(lines: str, said: str) -> None:
    """Secrets, names of ours, what is no text or proxy, and queues whose pilots others start: told with their place."""
    assert [line for line in mistakes(WHOLE + QUEUE + lines) if line.startswith(f"central.toml: {said}")]


CLUSTER = '\n[[queues]]\nname = "more"\nsite = "here"\nkind = "slurm"\n'


def test_a_queue_on_a_batch_system() -> None:
    """What a queue says of its computing element is read section by section; what it leaves out is as usual."""
    more = (
        'interval = "1 min"\n[queues.ssh]\nhost = "login.example"\nport = 2222\njump = "me@gate:22"\n'
        '[queues.batch]\npartition = "main"\naccount = "physics"\nwhole_node = true\nextra = ["--constraint=avx2"]\n'
        'folder = "/home/pilots/pilotage/"\nenvironment = { SLURM_CONF = "/etc/slurm/b.conf" }\npatience = "2 min"\n'
    )
    queue = read(WHOLE + CLUSTER + more, "central.toml").queue("more")
    assert queue is not None
    assert queue.interval == 60
    assert queue.ssh == Ssh("login.example", port=2222, jump="me@gate:22")
    assert queue.batch.partition == "main"
    assert queue.batch.whole_node
    assert queue.batch.folder == "/home/pilots/pilotage"
    assert queue.batch.environment == (("SLURM_CONF", "/etc/slurm/b.conf"),)
    assert queue.batch.patience == 120
    assert queue.credential is None
    plain = read(WHOLE + CLUSTER, "central.toml").queue("more")
    assert plain is not None
    assert (plain.ssh, plain.batch) == (None, Batch())


def test_a_queue_of_grid_engine() -> None:
    """What its site calls things is read; several cores need a parallel environment, and no other kind has one."""
    several = WHOLE + CLUSTER.replace("slurm", "gridengine") + "cores = 4\n[queues.batch]\n"
    queue = read(several + 'parallel_environment = "smp"\nmemory_resource = "h_rss"\n', "central.toml").queue("more")
    assert queue is not None
    assert (queue.batch.parallel_environment, queue.batch.memory_resource) == ("smp", "h_rss")
    assert any("queues[1].batch.parallel_environment: expected one" in line for line in mistakes(several))
    elsewhere = mistakes(WHOLE + CLUSTER + '[queues.batch]\nparallel_environment = "smp"\ngpu_resource = "gpu"\n')
    assert sum("expected none: a queue of the kind slurm" in line for line in elsewhere) == 2


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('[queues.ssh]\nhost = "-oProxyCommand=x"\n', "queues[1].ssh.host: expected a host's name"),
        ('[queues.ssh]\nuser = "me"\n', "queues[1].ssh.host: expected the host"),
        ('[queues.ssh]\nhost = "a"\nport = 0\n', "queues[1].ssh.port: expected"),
        ('[queues.ssh]\nhost = "a"\nkey = "id_rsa"\n', "queues[1].ssh.key: expected an absolute path"),
        ('[queues.ssh]\nhost = "a"\njump = "a b"\n', "queues[1].ssh.jump: expected [USER@]HOST[:PORT]"),
        ('[queues.batch]\npartition = "--wrap=x"\n', "queues[1].batch.partition: expected a partition's"),
        ('[queues.batch]\nfolder = "/home/$USER"\n', "queues[1].batch.folder: expected an absolute path"),
        ("[queues.batch]\nwhole_node = 1\n", "queues[1].batch.whole_node: expected true or false"),
        (
            '[queues.batch]\nenvironment = { MY_TOKEN = "a" }\n',
            "queues[1].batch.environment.MY_TOKEN: expected nothing",
        ),
        ("[queues.batch]\nnodes = 2\n", "queues[1].batch.nodes"),
        (
            '[queues.credential]\ncommunity = "nobody"\n',
            "queues[1].credential.community: expected a declared community",
        ),
        ('[queues.credential]\nkind = "basic"\n', "queues[1].credential.kind: expected one of x509-proxy, bearer"),
    ],
)
def test_what_no_computing_element_may_have(lines: str, said: str) -> None:
    """Words that a program would take for options, paths that a shell would change, and strangers are mistakes."""
    assert [line for line in mistakes(WHOLE + CLUSTER + lines) if line.startswith(f"central.toml: {said}")]


def test_a_credential_where_it_could_not_be_used() -> None:
    """Programs on a far host, and processes of this one, have no use for a credential of the vault."""
    section = '[queues.credential]\ncommunity = "physics"\nowner = "ops"\nname = "grid"\n'
    for others in (CLUSTER + '[queues.ssh]\nhost = "a"\n', QUEUE):
        found = mistakes(WHOLE + others + section)
        assert any("queues[1].credential: expected none" in line for line in found), found


POOL = CLUSTER.replace("slurm", "condor")


def test_a_queue_on_another_schedd() -> None:
    """A schedd of HTCondor by name, as that of a CE, which has queues; programs are told in files of their secrets."""
    more = (
        '[queues.schedd]\nname = "ce.example.org"\npool = "ce.example.org:9619"\nspool = true\n'
        '[queues.batch]\npartition = "long"\nenvironment = { _CONDOR_SEC_TOKEN_DIRECTORY = "/etc/pilotage/tokens" }\n'
    )
    queue = read(WHOLE + POOL + more, "central.toml").queue("more")
    assert queue is not None
    assert queue.schedd == Schedd("ce.example.org", "ce.example.org:9619", spool=True)
    assert queue.batch.environment == (("_CONDOR_SEC_TOKEN_DIRECTORY", "/etc/pilotage/tokens"),)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (POOL + '[queues.batch]\npartition = "long"\n', "batch.partition: expected none: HTCondor has no partitions"),
        (POOL + "[queues.schedd]\nspool = true\n", "schedd.name: expected the schedd"),
        (POOL + '[queues.schedd]\nname = "-pool"\n', "schedd.name: expected a schedd's name"),
        (POOL + '[queues.schedd]\nname = "a"\npool = "a b"\n', "schedd.pool: expected HOST[:PORT]"),
        (
            POOL + '[queues.batch]\nenvironment = { A_TOKEN_FILE = "x" }\n',
            "batch.environment.A_TOKEN_FILE: expected no",
        ),
        (CLUSTER + '[queues.schedd]\nname = "a"\n', "schedd: expected none"),
    ],
)
def test_what_no_schedd_may_have(lines: str, said: str) -> None:
    """Sections and words that mean nothing where they stand are mistakes."""
    assert [line for line in mistakes(WHOLE + lines) if line.startswith(f"central.toml: queues[1].{said}")]
