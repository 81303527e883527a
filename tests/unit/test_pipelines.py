"""Which commands a pilot runs: layers of the settings, one over the other, and what is refused when configured."""

from __future__ import annotations

import pytest

from central.configuration.pipelines import Addition, Layer, Place, resolve
from central.configuration.settings_file import InvalidSettings, read
from central.configuration.settings_pipelines import place_of
from central.trust.bundles import earlier
from pilot.protocol import Step
from pilot.standard import ORDER, CommandRecord

BOUND = Place("cern", "long", "lhcb")
GENERIC = Place("cern", "long")


def commands(layers: list[Layer], place: Place = BOUND) -> list[str]:
    return [step.command for step in resolve(layers, place).steps]


def option(layers: list[Layer], place: Place, name: str = "key") -> str | None:
    steps = {step.command: step for step in resolve(layers, place).steps}
    return steps["prepare_software"].options.get(name)


def layer(value: str, **whom: str) -> Layer:
    return Layer(options={"prepare_software": {"key": value}}, **whom)  # type: ignore[arg-type]


#: From the weakest to the strongest.
LADDER = [
    layer("default"),
    layer("site", site="cern"),
    layer("queue", queue="long"),
    layer("community", community="lhcb"),
    layer("community+site", community="lhcb", site="cern"),
    layer("community+queue", community="lhcb", queue="long"),
]


def test_nothing_configured_is_the_standard_pipeline() -> None:
    """Without layers a pilot is told nothing, and runs what it knows."""
    resolved = resolve([], BOUND)
    assert tuple(step.command for step in resolved.steps) == ORDER
    assert resolved.told() == ()


@pytest.mark.parametrize("number", range(len(LADDER)))
def test_what_says_more_counts_more(number: int) -> None:
    """Of six places for a value the one nearest to the pilot wins, whatever their order in the file; without it the
    next one does."""
    given = LADDER[: number + 1]
    expected = given[-1].options["prepare_software"]["key"]
    assert option(given, BOUND) == expected
    assert option(given[::-1], BOUND) == expected


def test_layers_of_others_do_not_count() -> None:
    """Another community, site or queue changes nothing; a pilot for several has no community's layers."""
    others = [layer("x", community="atlas"), layer("x", site="ral"), layer("x", queue="short")]
    assert option(others, BOUND) is None
    assert option(LADDER, GENERIC) == "queue"
    assert option(LADDER, Place("cern", "short", "lhcb")) == "community+site"
    assert option(LADDER, Place("ral", "short", "atlas")) == "default"


def test_of_two_alike_the_later_counts() -> None:
    """Layers for the same pilots are laid one over the other as they stand in the file."""
    assert option([layer("one", site="cern"), layer("two", site="cern")], BOUND) == "two"


def test_options_are_merged_one_by_one() -> None:
    """A layer changes the options that it names, and leaves the others."""
    first = Layer(options={"prepare_software": {"path": "/sw", "setup": "a.sh"}}, timeouts={"check_node": 5})
    second = Layer(community="lhcb", options={"prepare_software": {"setup": "b.sh"}})
    steps = {step.command: step for step in resolve([first, second], BOUND).steps}
    assert steps["prepare_software"] == Step("prepare_software", {"path": "/sw", "setup": "b.sh"})
    assert steps["check_node"].timeout == 5


def test_commands_are_replaced_and_added() -> None:
    """A layer puts others in the place of commands and beside them; later layers may name these."""
    replaced = Layer(community="lhcb", replace={"prepare_software": "lhcb:prepare"})
    added = Layer(community="lhcb", site="cern", add=(Addition("lhcb:tune", before="lhcb:prepare"),))
    after = Layer(community="lhcb", queue="long", add=(Addition("lhcb:last", after="run_jobs"),))
    assert commands([replaced, added, after]) == [
        "check_node",
        "discover",
        "lhcb:tune",
        "lhcb:prepare",
        "configure",
        "run_jobs",
        "lhcb:last",
        "clean_up",
    ]


def test_an_order_takes_the_place_of_the_one_before() -> None:
    """A layer may say the whole order; clean_up is in it whatever it says."""
    assert commands([Layer(site="cern", order=("check_node", "discover"))]) == ["check_node", "discover", "clean_up"]


def test_what_is_not_there_cannot_be_replaced_or_stood_beside() -> None:
    """A replacement or an addition that finds nothing is a problem with its place."""
    layers = [
        Layer("pipelines[0]", replace={"missing": "x:y"}),
        Layer("pipelines[1]", add=(Addition("x:y", after="no"),)),
    ]
    found = [problem.where for problem in resolve(layers, GENERIC).problems]
    assert found == ["pipelines[0].replace", "pipelines[1].add[0]"]


def test_a_pipeline_is_checked_by_manifests() -> None:
    """Needs and provides of bundles' commands count like ours; a command that no bundle has is told."""
    resolved = resolve([Layer(community="lhcb", replace={"prepare_software": "lhcb:prepare"})], BOUND)
    assert resolved.check([CommandRecord("lhcb:prepare", ("node",), ("software",), 5)]) == []
    (problem,) = resolved.check([CommandRecord("lhcb:prepare", ("node",), ("else",), 5)])
    assert problem == "configure needs 'software' from an earlier command: no command in it does"
    (problem,) = resolved.check([])
    assert problem == "no bundle of the community in use has the command lhcb:prepare: there is none"


@pytest.mark.parametrize(
    ("history", "back"),
    [("", None), ("a", None), ("ab", "a"), ("abc", "b"), ("abcb", "a"), ("abcba", None), ("aba", None), ("abac", "a")],
)
def test_going_back_goes_on_back(history: str, back: str | None) -> None:
    """What was in use before the present bundle; who has gone back once goes further back, and not forth again."""
    assert earlier(history) == back


SETTINGS = """
[[communities]]
name = "lhcb"
groups = [{name = "users"}]
[[communities]]
name = "atlas"
[[sites]]
name = "cern"
[[sites]]
name = "ral"
[[queues]]
name = "long"
site = "cern"
communities = ["lhcb"]
[[queues]]
name = "any"
site = "cern"
"""


def problems(more: str) -> list[str]:
    with pytest.raises(InvalidSettings) as caught:
        read(SETTINGS + more)
    return [str(problem) for problem in caught.value.problems]


def test_pipelines_are_read() -> None:
    """Everything that a table may say, and what becomes of it for a queue."""
    settings = read(
        SETTINGS
        + """
[[pipelines]]
community = "lhcb"
site = "cern"
replace = {prepare_software = "lhcb:prepare"}
add = [{command = "lhcb:tune", after = "discover"}]
options = {"lhcb:prepare" = {version = "v9", retries = 3}}
timeouts = {"lhcb:prepare" = "10 min"}
"""
    )
    steps = resolve(settings.pipelines, place_of(settings.queues[0])).steps
    assert steps[2] == Step("lhcb:tune")
    assert steps[3] == Step("lhcb:prepare", {"version": "v9", "retries": "3"}, 600)
    assert resolve(settings.pipelines, place_of(settings.queues[1])).told() == ()


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ('replace = {prepare_software = "a:b"}', "pipelines[0].community: expected the community whose bundle has a:b"),
        ('community = "nobody"', "pipelines[0].community: expected a declared community, got 'nobody'"),
        ('site = "ral"\nqueue = "long"', "pipelines[0].queue: expected a queue of the site ral, got one of cern"),
        ('order = ["check"]', "pipelines[0].order[0]: expected one of check_node"),
        ('replace = {run_jobs = "check_node"}', "pipelines[0].replace.run_jobs: expected another command: only the"),
        ('community = "lhcb"\nadd = [{command = "a:b"}]', "pipelines[0].add[0]: expected either `after` or `before`"),
        ("options = {nobody = {a = 1}}", "pipelines[0].options.nobody: expected one of check_node"),
        ("options = {prepare_software = {A = [1]}}", "pipelines[0].options.prepare_software.A: expected a text"),
        ("options = {discover = {a = 1}}", "pipelines[0].options.discover.a: expected no options: discover has none"),
        ("options = {prepare_software = {pth = 1}}", "pipelines[0].options.prepare_software.pth: expected path, setup"),
        ('timeouts = {run_jobs = "1 h"}', "pipelines[0].timeouts.run_jobs: expected another command"),
        ("replaces = {}", "pipelines[0].replaces: unknown key"),
        ('order = ["configure", "discover"]', "queues[0]: its pipeline cannot be run: configure needs 'node'"),
        ('replace = {check_node = "discover"}', "queues[0]: its pipeline cannot be run: discover is in it twice"),
    ],
)
def test_mistakes_are_told_with_their_place(more: str, problem: str) -> None:
    """What cannot be is refused when it is configured, and nothing is sent anywhere."""
    assert any(found.startswith(problem) for found in problems(f"[[pipelines]]\n{more}\n")), problems(
        f"[[pipelines]]\n{more}\n"
    )


def test_a_queue_for_several_names_no_bundle() -> None:
    """The settings of a queue may name commands of a bundle only where its pilots are bound to one community."""
    own = '[queues.settings]\npipeline = ["check_node", "discover", "a:b", "configure", "run_jobs"]\n'
    (problem,) = problems(own)
    assert problem.startswith("queues[1]: its pipeline cannot be run: a:b is a bundle's, and the pilots of this queue")


def test_a_key_that_is_none_is_told() -> None:
    """`bundle_keys` are Ed25519 public keys."""
    text = SETTINGS.replace('name = "atlas"', 'name = "atlas"\nbundle_keys = ["ed25519:AAAA"]')
    with pytest.raises(InvalidSettings, match=r"communities\[1\].bundle_keys\[0\]: expected ed25519: and 32 bytes"):
        read(text)
