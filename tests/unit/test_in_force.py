"""The settings in force: the file's, with what operators have added laid beside."""

from __future__ import annotations

from dataclasses import replace

import pytest

from central.added import PlaceRow
from central.configuration.in_force import Places, in_force
from central.configuration.pipelines import resolve
from central.configuration.settings_file import InvalidSettings, read
from central.configuration.settings_pipelines import place_of
from central.records import Identity
from pilot.protocol import Step

HEAD = '[[communities]]\nname = "physics"\ngroups = [{name = "users"}]\n[[sites]]\nname = "here"\n'
FILE = read(HEAD + '[[queues]]\nname = "local"\nsite = "here"\nkind = "external"\n')
SLURM = replace(FILE, queues=(*FILE.queues, replace(FILE.queues[0], name="ours", kind="slurm")))
OF_BOB = (
    'kind = "arc"\n[arc]\nurl = "https://ce.example/arex"\n'
    '[credential]\ncommunity = "physics"\nowner = "bob"\nname = "grid"\nkind = "bearer"\n'
)
ADA = Identity("ada", "physics", "users", "operator")
FAR = 'name = "far"\nsite = "there"\nkind = "external"\n'
THERE = PlaceRow("site", "there", 1, 'name = "there"', "ada", 1.0)


def queue(text: str = FAR, name: str = "far", number: int = 1) -> PlaceRow:
    return PlaceRow("queue", name, number, text, "ada", 1.0)


def test_what_was_added_is_beside_what_is_declared() -> None:
    """Sites and queues that were added count as if they stood in the file, in whatever order they come."""
    found = in_force(FILE, [queue(), THERE])
    assert [site.name for site in found.settings.sites] == ["here", "there"]
    assert [(one.name, one.site) for one in found.settings.queues] == [("local", "here"), ("far", "there")]
    assert found.settings.tokens == FILE.tokens
    assert not found.problems


def test_what_cannot_be_used_is_left_out_and_told() -> None:
    """A queue whose site has gone, one that is not understood any more and a name of the file's do not count, and each
    says why; the others do."""
    rows = [queue(), queue('name = "odd"\ncors = 1\n', "odd"), queue(FAR.replace("far", "local"), "local")]
    found = in_force(FILE, [*rows, queue(FAR.replace("there", "here").replace("far", "good"), "good")])
    assert [one.name for one in found.settings.queues] == ["local", "good"]
    assert "site: expected a declared site, got 'there'" in found.problems["queue", "far"]
    assert "cors: unknown key" in found.problems["queue", "odd"]
    assert found.problems["queue", "local"] == "central.toml declares a queue local, which counts"


def test_nothing_new_changes_nothing() -> None:
    """The record of settings is the same one until something is another."""
    places = Places(FILE)
    assert places.take([THERE, queue()])
    before = places.settings
    assert not places.take([THERE, queue()])
    assert places.settings is before
    assert places.take([THERE, queue(FAR + "slots = 9\n", number=2)])
    assert places.settings.queues[1].slots == 9
    added = places.added("queue", "far")
    assert added
    assert added.version == 2


def test_a_queue_has_its_own_pipeline() -> None:
    """The pipeline in an added queue's settings counts for its pilots, and one that cannot be run is refused."""
    good = FAR.replace("there", "here") + '[settings]\npipeline = ["check_node", "discover", "clean_up"]\n'
    found = in_force(FILE, [queue(good)])
    assert [layer.queue for layer in found.settings.pipelines] == ["far"]
    bad = FAR.replace("there", "here") + '[settings]\npipeline = ["run_jobs"]\n'
    with pytest.raises(InvalidSettings, match="pipeline"):
        Places(FILE).read(bad, ADA)


NAMING = read(
    HEAD
    + '[[limits]]\nname = "few"\nrunning = 1\nsite = "there"\nqueue = "far"\n'
    + '[[pipelines]]\nqueue = "far"\noptions = {prepare_software = {path = "/sw"}}\n'
)


def test_limits_and_pipelines_of_the_file_may_be_for_what_is_added() -> None:
    """They count nowhere, and say so, until the site and the queue that they name are there; a limit that names a queue
    of another site goes on saying so."""
    assert in_force(NAMING, []).unmet == {
        ("limit", "few"): "there is no site there: it counts once one of that name is added",
        ("pipeline", "pipelines[0]"): "there is no queue far: it counts once one of that name is added",
    }
    assert in_force(NAMING, [THERE]).unmet["limit", "few"].startswith("there is no queue far: ")
    found = in_force(NAMING, [THERE, queue()])
    assert not found.unmet
    place = place_of(found.settings.queues[0])
    assert Step("prepare_software", {"path": "/sw"}) in resolve(found.settings.pipelines, place).steps
    elsewhere = in_force(NAMING, [THERE, queue(FAR.replace("there", "here"))])
    assert list(elsewhere.unmet.items()) == [
        (("limit", "few"), "the queue far is one of the site here, not of there: it counts nowhere")
    ]


def test_what_counts_nowhere_is_told_when_it_changes() -> None:
    """The first look tells of names that nothing has, though nothing was added; the next one does not."""
    places = Places(NAMING)
    assert places.take([])
    assert len(places.unmet) == 2
    assert not places.take([])
    assert places.take([THERE, queue()])
    assert not places.unmet


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ('kind = "local"\n', "kind"),
        ('kind = "condor"\n', "kind"),
        ('kind = "pbs"\n[batch]\nfolder = "/p"\n', "kind"),
        ('kind = "slurm"\n[batch]\nfolder = "/p"\nprograms = "/tmp"\n', "batch.programs"),
        ('kind = "slurm"\n[batch]\nfolder = "/p"\nenvironment = {A = "b"}\n', "batch.environment"),
        ('kind = "slurm"\n[batch]\nfolder = "/p"\nextra = ["--qos=x"]\n', "batch.extra"),
        ('kind = "arc"\n[arc]\nurl = "https://ce.example/arex"\ntoken = "/home/central/key"\n', "arc.token"),
        ('kind = "arc"\n[arc]\nurl = "https://ce.example/arex"\nproxy = "/home/central/key"\n', "arc.proxy"),
        (OF_BOB, "credential"),
    ],
)
def test_what_runs_on_the_centrals_host_and_which_secrets_leave_it_is_the_files_to_say(more: str, where: str) -> None:
    """An operator who has the API alone becomes no user of the central's host by adding a queue, and sends nobody
    else's secret anywhere; the same through SSH, or with a secret of the operator's own, is taken."""
    text = f'name = "far"\nsite = "here"\n{more}'
    with pytest.raises(InvalidSettings) as refused:
        Places(SLURM).read(text, ADA)
    assert [problem.where for problem in refused.value.problems] == [where]
    if "[batch]" in more:
        Places(FILE).read(text + '[ssh]\nhost = "login.example"\n', ADA)
    if where == "credential":
        Places(FILE).read(text.replace("bob", "ada"), ADA)


def test_what_runs_as_the_central_is_added_beside_what_the_file_has() -> None:
    """Where the file sends pilots to the batch system of its own host, operators may add to it; a central whose file
    does not leaves out what another one took."""
    text = 'name = "far"\nsite = "here"\nkind = "slurm"\n'
    assert Places(SLURM).read(text, ADA).kind == "slurm"
    assert [one.name for one in in_force(SLURM, [queue(text)]).settings.queues] == ["local", "ours", "far"]
    found = in_force(FILE, [queue(text)])
    assert [one.name for one in found.settings.queues] == ["local"]
    assert "jobs of such a queue run as the central itself" in found.problems["queue", "far"]


def test_a_text_that_nests_without_end_is_no_toml() -> None:
    """It is a mistake of whoever wrote it, and told as such."""
    with pytest.raises(InvalidSettings, match="this is not TOML"):
        Places(FILE).read(f"name = {'[' * 20_000}", ADA)


def test_a_local_queue_that_is_added_holds_its_jobs_as_the_file_s_own_do() -> None:
    """Beside a local queue of the file another is taken that keeps jobs from the central as that one does, and none
    that gives them another user, another environment or other containers."""
    file = read(HEAD + '[[queues]]\nname = "own"\nsite = "here"\nslot_users = "20000-20063"\n')
    alike = 'name = "far"\nsite = "here"\nslot_users = "20000-20063"\nslots = 7\n'
    assert Places(file).read(alike, ADA).slots == 7
    for other in ('slot_users = "root"\n', "", 'slot_users = "20000-20063"\nenvironment = {LD_PRELOAD = "/tmp/x"}\n'):
        with pytest.raises(InvalidSettings, match="kind: expected slot_users, environment"):
            Places(file).read(f'name = "far"\nsite = "here"\n{other}', ADA)


ARTS = PlaceRow("community", "arts", 1, 'name = "arts"\nshare = 2.0\n', "ada", 1.0)
PAINT = PlaceRow("group", "arts/paint", 1, 'name = "paint"\nshare = 0.5\n', "ada", 1.0)


def test_communities_and_groups_that_were_added_are_beside_those_of_the_file() -> None:
    """Groups come after their communities in whatever order they are read, also into communities of the file; a queue
    may be for them."""
    ours = PlaceRow("group", "physics/taus", 1, 'name = "taus"\nshare = 3\n', "cam", 1.0)
    far = queue('name = "far"\nsite = "here"\nkind = "external"\ncommunities = ["arts"]\n')
    found = in_force(FILE, [far, PAINT, ours, ARTS])
    assert not found.problems
    shares = {
        one.name: (one.share, {group.name: group.share for group in one.groups}) for one in found.settings.communities
    }
    assert shares == {"physics": (1.0, {"users": 1.0, "taus": 3.0}), "arts": (2.0, {"paint": 0.5})}
    assert found.settings.queues[1].communities == ("arts",)


def test_what_the_file_declares_of_communities_counts() -> None:
    """A community or a group of the file's is not changed by what was added, which says so; a group without its
    community waits for it."""
    taken = PlaceRow("community", "physics", 1, 'name = "physics"\nshare = 9.0\n', "ada", 1.0)
    users = PlaceRow("group", "physics/users", 1, 'name = "users"\nshare = 9.0\n', "ada", 1.0)
    odd = PlaceRow("group", "physics/odd", 1, 'name = "odd"\nshare = -1\n', "ada", 1.0)
    found = in_force(FILE, [taken, users, odd, PAINT])
    assert found.settings.communities == FILE.communities
    assert found.problems["community", "physics"] == "central.toml declares a community physics, which counts"
    assert found.problems["group", "physics/users"] == "central.toml declares a group users of physics, which counts"
    assert found.problems["group", "arts/paint"].startswith("there is no community arts: it counts once one of")
    assert "share: expected a number above 0" in found.problems["group", "physics/odd"]
    places = Places(FILE)
    assert places.declares("community", "physics")
    assert places.declares("group", "physics/users")
    assert not places.declares("group", "physics/taus")
    assert not places.declares("group", "arts/users")


def test_what_would_not_count_without_something_is_known_before() -> None:
    """Whoever takes a community away is told what rests on it."""
    places = Places(FILE)
    far = queue('name = "far"\nsite = "here"\nkind = "external"\ncommunities = ["arts"]\n')
    places.take([ARTS, PAINT, far])
    assert set(places.without("community", "arts")) == {("group", "arts/paint"), ("queue", "far")}
    assert not places.without("group", "arts/paint")


def test_what_a_later_version_has_added_is_passed_over() -> None:
    """A kind that is not known here is nobody's, and disturbs nothing."""
    found = in_force(FILE, [PlaceRow("castle", "x", 1, "y = 1", "ada", 1.0)])
    assert (found.settings, found.problems) == (FILE, {})
