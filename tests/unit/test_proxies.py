"""By which proxy the pilot goes, and how it is told of."""

from __future__ import annotations

import pytest

from pilot.transport import by_way_of, proxies_for

NAMES = ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY")


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({}, ""),
        ({"HTTPS_PROXY": "http://p:3128"}, "http://p:3128"),
        ({"https_proxy": "http://p:3128"}, "http://p:3128"),
        ({"https_proxy": "http://small:1", "HTTPS_PROXY": "http://large:1"}, "http://small:1"),
        ({"HTTPS_PROXY": "http://p:3128", "NO_PROXY": "other.example,central.example"}, ""),
        ({"HTTPS_PROXY": "http://p:3128", "no_proxy": "example"}, ""),
        ({"HTTPS_PROXY": "http://p:3128", "NO_PROXY": "other.example"}, "http://p:3128"),
    ],
)
def test_the_environment_says_by_which_proxy(
    environment: dict[str, str], proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for other programs: small letters first, and none for hosts and domains of NO_PROXY."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxies_for("https://central.example:8443/v1/health").get("https", "") == proxy


@pytest.mark.parametrize(
    ("proxy", "told"),
    [
        ("", ""),
        ("http://p:3128/", "by way of the proxy p:3128: "),
        ("ann:se@same@p:3128", "by way of the proxy p:3128: "),
        ("http://ann:se://same@p:3128", "by way of the proxy p:3128: "),
        ("http://[", "by way of the proxy [: "),
    ],
)
def test_a_proxy_is_told_without_its_password(proxy: str, told: str) -> None:
    """Sentences go to logs, whatever somebody wrote into the variable."""
    assert by_way_of(proxy) == told
