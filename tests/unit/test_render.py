"""The wrapper as a text: what is carried in it is carried exactly, and what cannot work is refused early."""

import json
import shlex
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot.errors import InvalidInput
from wrappers.render import HERE, Bootstrap, configuration, quoted, render

PEM = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ==\n-----END CERTIFICATE-----\n"
BOOTSTRAP = Bootstrap(
    stamp="0123456789abcdef" * 2,
    urls=("https://one.example/pilot.pyz", "http://two.example/pilot.pyz"),
    sha256="ab" * 32,
    central=("https://central.example:8443/",),
    ticket="c2VjcmV0.dGlja2V0-_",
    secret_file="/run/pilots/one/secret",
    site="Lyon",
    queue="long",
    ca_pem=PEM,
)

text = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))


@given(text)
def test_a_quoted_text_is_one_word_that_means_itself(value: str) -> None:
    """Whatever the text, the shell's rules give back exactly it. (Real shells are asked in tests/integration.)"""
    assert shlex.split(quoted(value)) == [value]


@pytest.mark.parametrize("value", ["a\0b", "\udcff"])
def test_what_no_shell_can_hold_is_refused(value: str) -> None:
    """A zero byte or half a character is an error, not a mangled value."""
    with pytest.raises(InvalidInput):
        quoted(value)


def test_the_template_stays_small() -> None:
    """The shell's part fits into fewer than 130 lines."""
    assert len((HERE / "wrapper.sh").read_text().splitlines()) < 130


def test_no_marker_is_left() -> None:
    """Every place of the template is filled."""
    script = render(BOOTSTRAP)
    for marker in ("stamp", "sha256", "urls", "central", "ticket", "ca", "config", "helper", "pythons", "pause"):
        assert f"@{marker}@" not in script


def test_what_looks_like_a_marker_in_a_value_is_left_alone() -> None:
    """A value is never searched for markers: nobody reads the ticket out through a site's name."""
    script = render(replace(BOOTSTRAP, site="@ticket@", work_base="/scratch/@ca@"))
    assert script.count(BOOTSTRAP.ticket) == 1
    assert '"site": "@ticket@"' in script
    assert "/scratch/@ca@" in script


def test_the_configuration_is_what_the_pilot_reads() -> None:
    """`pilot.json` has the keys of the bootstrap and the queue's further settings."""
    assert configuration(replace(BOOTSTRAP, settings={"cores": 8})) == {
        "version": 1,
        "stamp": BOOTSTRAP.stamp,
        "central": ["https://central.example:8443"],
        "ca": "ca.pem",
        "secret_file": "/run/pilots/one/secret",
        "ticket_file": "ticket",
        "site": "Lyon",
        "queue": "long",
        "work": ".",
        "boot_log": "boot.log",
        "keep_work": False,
        "cores": 8,
    }


def test_the_configuration_stays_on_one_line() -> None:
    """No text in it, however wild, can end the here-document that carries it."""
    script = render(replace(BOOTSTRAP, queue="a\nEND OF CONFIG\nrm -rf /", site="Gex–Süd ☃"))
    (line,) = [line for line in script.splitlines() if line.startswith('{"version"')]
    assert json.loads(line)["queue"] == "a\nEND OF CONFIG\nrm -rf /"
    assert json.loads(line)["site"] == "Gex–Süd ☃"


def test_a_proxy_is_told_to_all_programs() -> None:
    """Whatever spelling they read; without one the environment of the node is left as it is."""
    told = render(replace(BOOTSTRAP, proxy="http://proxy.site:3128", no_proxy=("se.site", "::1"))).splitlines()[3]
    assert told == (
        "set -u; umask 077; export https_proxy=http://proxy.site:3128 HTTPS_PROXY=http://proxy.site:3128"
        " no_proxy=se.site,::1 NO_PROXY=se.site,::1"
    )
    assert "_proxy=" not in render(BOOTSTRAP)


def test_without_a_ca_the_system_is_trusted() -> None:
    """No CA is carried, and the pilot is told none."""
    assert configuration(replace(BOOTSTRAP, ca_pem=""))["ca"] is None
    assert "BEGIN CERTIFICATE" not in render(replace(BOOTSTRAP, ca_pem=""))


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"stamp": "../../etc"}, "stamp"),
        ({"sha256": "AB" * 32}, "sha256"),
        ({"urls": ()}, "urls"),
        ({"urls": ("https://one.example/pilot.pyz", "ftp://two.example")}, r"urls\[1\]"),
        ({"urls": ("https://one.example/a b",)}, r"urls\[0\]"),
        ({"central": ("http://central.example",)}, r"central\[0\]"),
        ({"ticket": "two\nlines"}, "ticket"),
        ({"ticket": 'quote"'}, "ticket"),
        ({"ca_pem": PEM + "END OF CA\nreboot\n"}, "ca_pem"),
        ({"ca_pem": PEM.replace("CERTIFICATE", "PRIVATE KEY")}, "ca_pem"),
        ({"secret_file": ""}, "secret_file"),
        ({"pythons": ()}, "pythons"),
        ({"pause": -1}, "pause"),
        ({"proxy": "proxy.site:3128"}, "proxy"),
        ({"proxy": "http://proxy.site:3128/ $(reboot)"}, "proxy"),
        ({"no_proxy": ("se.site", "10.0.0.0/8")}, r"no_proxy\[1\]"),
        ({"settings": {"stamp": "another"}}, "settings"),
        ({"settings": {"keep_work": True}}, "settings"),
    ],
)
def test_what_would_fail_on_every_node_is_refused_here(change: dict[str, object], where: str) -> None:
    """The error names the field."""
    with pytest.raises(InvalidInput, match=f"^{where}: "):
        render(replace(BOOTSTRAP, **change))  # type: ignore[arg-type]


def test_a_refused_secret_is_not_shown() -> None:
    """An error goes to logs, and neither a ticket nor a proxy's password must."""
    with pytest.raises(InvalidInput) as refused:
        render(replace(BOOTSTRAP, ticket="almost-a-ticket\n"))
    assert "almost-a-ticket" not in str(refused.value)
    with pytest.raises(InvalidInput) as refused:
        render(replace(BOOTSTRAP, proxy="http://ann:sesame@proxy.site:3128"))
    assert "sesame" not in str(refused.value)
