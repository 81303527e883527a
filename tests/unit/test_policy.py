"""The site's word: what its file may say, who may have written it, and what of a pilot is left under it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from commands.context import Context
from pilot import policy
from pilot.errors import InvalidInput
from pilot.policing import PolicedNode, heeded
from pilot.policy import DRAIN_FILE, Policy, Share, SitesWord, heed, parse, read
from pilot.protocol import UNLIMITED, Fact, JobSpec, Lease, Settings
from pilot.states import PilotReason

WHOLE = """\
communities: [biology, physics]
owners: [ann, bob]
images: ["/cvmfs/images/*", "docker://*"]
paths: [/cvmfs, /data]
cores: 50 %
memory: 8 GB
drain: /shared/drain
"""


def lease(community: str = "physics", owner: str = "ann") -> Lease:
    return Lease(1, 1, 600, JobSpec(("true",)), "token", 1, community=community, owner=owner)


def written(folder: Path, text: str = WHOLE, mode: int = 0o644) -> Path:
    path = folder / "policy.yaml"
    path.write_text(text)
    path.chmod(mode)
    return path


def of(**values: Any) -> Policy:
    return parse(values, "the file")


def test_every_key_is_read(tmp_path: Path) -> None:
    """The file of the documentation says what it seems to say."""
    path = written(tmp_path)
    assert read(path) == Policy(
        source=str(path),
        communities=("biology", "physics"),
        owners=("ann", "bob"),
        images=("/cvmfs/images/*", "docker://*"),
        paths=("/cvmfs", "/data"),
        cores=Share(percent=50),
        memory=Share(amount=8 * 10**9),
        drain=Path("/shared/drain"),
    )


def test_a_file_that_says_nothing_restricts_nothing(tmp_path: Path) -> None:
    """An empty policy lets everything in, as none does."""
    word = heed(written(tmp_path, "# nothing yet\n"), tmp_path / "none")
    assert word.problem == ""
    assert word.refuses(lease("any", "body")) == ""
    assert word.allows_image("docker://any")
    assert word.allows_path("/")
    assert word.owners is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("comunities: [x]", "comunities: unknown key; expected one of communities, cores"),
        ("cores: 0", "cores: expected a whole number from 1 to 65536"),
        ("cores: 0 %", "cores: expected a part from 1 % to 100 %"),
        ("cores: 101%", "cores: expected a part from 1 % to 100 %"),
        ("memory: lots", "memory: expected a size like"),
        ("paths: [data]", "paths: expected an absolute path"),
        ("paths: [/data/../etc]", "paths: expected an absolute path"),
        ("drain: drain", "drain: expected an absolute path"),
        ("communities: {a: b}", "communities: expected a list"),
        ("- a", "expected a mapping"),
        ("a: [", "it is not YAML"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, problem: str) -> None:
    """A file with a mistake says which, and lets no job in: a site that restricts must not find itself open."""
    path = written(tmp_path, text)
    with pytest.raises(InvalidInput, match=problem.replace("(", r"\(")):
        read(path)
    word = heed(path, tmp_path / "none")
    assert problem in word.problem
    assert word.refuses(lease())
    assert not word.allows_image("docker://any")
    assert not word.allows_path("/data")


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_file_that_others_could_have_written_is_not_believed(tmp_path: Path, mode: int) -> None:
    """Who may write the policy decides what runs, so that group and others must not."""
    with pytest.raises(InvalidInput, match="expected a file of root that nobody else can write"):
        read(written(tmp_path, mode=mode))


def test_a_file_of_another_user_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root's and our own word count, a third one's does not."""
    path = written(tmp_path)
    if path.stat().st_uid == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(policy.os, "geteuid", lambda: path.stat().st_uid + 1)  # type: ignore[attr-defined]
    with pytest.raises(InvalidInput, match="expected a file of root"):
        read(path)


def test_what_is_no_file_or_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe holds nobody up, a folder is no policy, and nothing large is read."""
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(policy, "MAX_SIZE", 10)
    for path, problem in (
        (tmp_path / "pipe", "expected a file"),
        (tmp_path, "cannot be read|expected a file"),
        (written(tmp_path), "expected at most 10 bytes"),
        (tmp_path / "missing", "cannot be read"),
    ):
        with pytest.raises(InvalidInput, match=problem):
            read(path)


def test_the_sites_own_file_need_not_be_there_one_that_is_named_must(tmp_path: Path) -> None:
    """Most sites have no policy; but one that the configuration names and that is gone is no licence."""
    assert heed(None, tmp_path / "none") == SitesWord()
    assert "cannot be read" in heed(tmp_path / "named", tmp_path / "none").problem


def test_an_empty_list_lets_nobody_in() -> None:
    """An empty list never means all."""
    word = SitesWord((of(communities=[], owners=[], images=[], paths=[]),))
    assert "lets no job of the community 'physics' in" in word.refuses(lease())
    assert word.owners == ()
    assert not word.allows_image("docker://any")
    assert not word.allows_path("/data")


def test_two_policies_hold_both() -> None:
    """What the site's own file and the named one let in together is what both let in."""
    word = SitesWord(
        (
            of(communities=["a", "b"], owners=["ann", "bob"], images=["/cvmfs/*"], paths=["/data"]),
            of(communities=["b", "c"], owners=["bob", "carl"], images=["*.sif"], drain="/x/drain"),
        )
    )
    assert [name for name in "abc" if not word.refuses(lease(name, "bob"))] == ["b"]
    assert word.served(("a", "b", "c")) == ("b",)
    assert word.served(()) == ("b",)
    assert word.owners == ("bob",)
    assert word.allows_image("/cvmfs/a.sif")
    assert not word.allows_image("/cvmfs/a")
    assert not word.allows_image("/home/a.sif")
    assert word.drain_files == (DRAIN_FILE, Path("/x/drain"))


def test_a_refusal_says_whose_word_it_is() -> None:
    """Who is kept out reads who said so, and where it is written."""
    word = SitesWord((of(communities=["physics"], owners=["ann"]),))
    assert word.refuses(lease()) == ""
    assert word.refuses(lease("biology")) == ("the site's policy lets no job of the community 'biology' in (the file)")
    assert word.refuses(lease(owner="eve")) == "the site's policy lets no job of 'eve' in (the file)"


def test_a_path_is_judged_by_where_it_leads(tmp_path: Path) -> None:
    """Neither a link nor a name that begins alike leads out of what may be bound."""
    (tmp_path / "data").mkdir()
    (tmp_path / "database").mkdir()
    (tmp_path / "data" / "way-out").symlink_to("/etc")
    word = SitesWord((of(paths=[str(tmp_path / "data")]),))
    assert word.allows_path(str(tmp_path / "data"))
    assert word.allows_path(str(tmp_path / "data" / "deep" / "er"))
    assert not word.allows_path(str(tmp_path / "database"))
    assert not word.allows_path(str(tmp_path / "data" / "way-out"))
    assert not word.allows_path(str(tmp_path))


def test_who_runs_a_job_by_hand_is_no_community() -> None:
    """Without a central there is neither community nor owner; what the node is spared of holds all the same."""
    word = SitesWord((of(communities=["a"], owners=["ann"], images=[], cores=2),)).alone()
    assert word.refuses(lease("", "")) == ""
    assert not word.allows_image("any")
    assert word.policies[0].cores == Share(amount=2)


class FoundNode:
    """A node on which these facts were found."""

    def __init__(self, *facts: Fact) -> None:
        self.found = facts

    def facts(self) -> tuple[Fact, ...]:
        return self.found

    def free_disk(self, path: Path) -> int | None:
        return 7


@pytest.mark.parametrize(
    ("values", "cores", "memory"),
    [
        ({"cores": 6, "memory": "4 GB"}, 6, 4 * 10**9),
        ({"cores": "25 %", "memory": "50%"}, 2, 8 * 10**9),
        ({"cores": 64, "memory": "1 TB"}, 8, 16 * 10**9),
        ({"cores": "1 %"}, 1, 16 * 10**9),
    ],
)
def test_no_more_is_found_than_the_site_gives(values: dict[str, Any], cores: int, memory: int) -> None:
    """Cores and memory of the node are cut to the policy's share, not beyond what there is, and the source says so."""
    node = FoundNode(Fact("cores", 8, "affinity"), Fact("memory", 16 * 10**9, "cgroup"), Fact("os", "debian 12", "it"))
    facts = {fact.name: fact for fact in PolicedNode(node, SitesWord((of(**values),))).facts()}
    assert (facts["cores"].value, facts["memory"].value) == (cores, memory)
    for name, found in (("cores", 8), ("memory", 16 * 10**9)):
        assert ("by the site's policy the file" in facts[name].source) == (facts[name].value != found)
    assert facts["os"].value == "debian 12"
    assert facts["policy"].value == "the file"


def test_unknown_memory_stays_unknown_and_unlimited_memory_is_bounded() -> None:
    """A bound does not make known what is not, but it ends what has no end."""
    word = SitesWord((of(memory="1 GB"),))
    for found, left in ((None, None), (UNLIMITED, 10**9)):
        (fact,) = (
            one for one in PolicedNode(FoundNode(Fact("memory", found, "x")), word).facts() if one.name == "memory"
        )
        assert fact.value == left


def context(*communities: str) -> Context:
    return Context(
        stamp="s", site="", queue="", work=Path("/"), settings=Settings(), clock=None, random=lambda: 0.0,  # type: ignore[arg-type]
        node=FoundNode(), central=None, computing=None, say=lambda line: None, communities=communities,  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_pilot_offers_itself_to_those_that_are_let_in() -> None:
    """Of the communities that a pilot serves, those are left that the site names."""
    word = SitesWord((of(communities=["a", "b"]),))
    assert heeded(context("c", "b"), word).communities == ("b",)
    assert heeded(context("c", "b"), word).reason is None


def test_a_pilot_that_may_serve_nobody_here_is_unfit() -> None:
    """A pilot all of whose communities are kept out ends before it has begun, and says whose word that is."""
    ended = heeded(context("c"), SitesWord((of(communities=["a"]),)))
    assert ended.reason is PilotReason.UNFIT
    assert ended.message == "the file: the site's policy lets a in, and this pilot is for c"
    assert heeded(context("c"), SitesWord((), "no way")).reason is PilotReason.UNFIT
