"""What OpenStack's errors mean to a director."""

from __future__ import annotations

import pytest

from central.clouds.openstack.errors import answered, unanswered, unauthenticated
from central.elements.port import Trouble


@pytest.mark.parametrize(
    ("status", "words", "trouble"),
    [
        (400, "Flavor nope could not be found.", Trouble.REFUSED),
        (400, "Unable to find security_group with name or id 'nope'", Trouble.REFUSED),
        (401, "The request you have made requires authentication.", Trouble.CREDENTIAL),
        (403, "Quota exceeded for cores: Requested 4000, but already used 0 of 20 cores", Trouble.FULL),
        (403, "Maximum number of ports exceeded", Trouble.FULL),
        (403, "Project 63f3 is over a limit for [servers]", Trouble.FULL),
        (403, "Policy doesn't allow os_compute_api:servers:create to be performed.", Trouble.REFUSED),
        (403, "Policy doesn't allow os_compute_api:os-quota-sets:show to be performed.", Trouble.REFUSED),
        (403, "Only volume-backed servers are allowed for flavors with zero disk.", Trouble.REFUSED),
        (404, "Instance could not be found.", Trouble.REFUSED),
        (409, "Multiple possible networks found, use a Network ID to be more specific.", Trouble.REFUSED),
        (413, "Quota exceeded for instances: Requested 1, but already used 10 of 10 instances", Trouble.FULL),
        (413, "This request was rate-limited.", Trouble.UNREACHABLE),
        (429, "Too many requests.", Trouble.UNREACHABLE),
        (300, "", Trouble.UNREACHABLE),
        (500, "Unexpected API Error.", Trouble.UNREACHABLE),
        (503, "", Trouble.UNREACHABLE),
    ],
)
def test_an_answer_of_nova(status: int, words: str, trouble: Trouble) -> None:
    """A quota is "later", a permission that is not there is "never", and what is not an answer is not known."""
    error = answered("Nova", status, words)
    assert error.trouble is trouble
    assert str(error).startswith(f"Nova says {status}: ")


def test_how_long_it_asks_to_be_left_alone_is_told() -> None:
    """A rate that was exceeded comes with the time after which it will not be."""
    assert "left alone for 12 s" in str(answered("Nova", 429, "Too many requests.", {"retry-after": "12"}))
    assert "left alone" not in str(answered("Nova", 413, "Too many requests.", {"retry-after": "0"}))


def test_what_nova_repeats_of_a_request_is_told_to_nobody() -> None:
    """It quotes user-data that it does not like, with the secret in them."""
    words = "Invalid input for field/attribute user_data. Value: c2VjcmV0\nc2VjcmV0. 'c2VjcmV0' is too long"
    assert "c2Vj" not in str(answered("Nova", 400, words))


@pytest.mark.parametrize(
    ("status", "words", "trouble"),
    [
        (401, "The request you have made requires authentication.", Trouble.CREDENTIAL),
        (404, "Could not find Application Credential: 0000.", Trouble.CREDENTIAL),
        (404, "404 page not found", Trouble.REFUSED),
        (405, "", Trouble.REFUSED),
        (500, "", Trouble.UNREACHABLE),
        (503, "no server is available", Trouble.UNREACHABLE),
    ],
)
def test_an_answer_of_keystone(status: int, words: str, trouble: Trouble) -> None:
    """A credential that it does not know is told from an address at which there is no Keystone."""
    error = unauthenticated("https://cloud.example:5000", status, words)
    assert error.trouble is trouble
    assert "https://cloud.example:5000" in str(error)


def test_a_certificate_that_is_not_trusted_comes_with_what_to_do() -> None:
    """Clouds with an authority of their own are the rule."""
    error = unanswered("Keystone", OSError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate"))
    assert error.trouble is Trouble.UNREACHABLE
    assert "`ca`" in str(error)
