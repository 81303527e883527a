"""Finding the route of a request."""

import pytest

from central.serving.router import Found, Router

ROUTES = (
    ("POST", "/v1/pilots/{stamp:stamp}/match", "match"),
    ("GET", "/v1/pilots/{stamp:stamp}", "pilot"),
    ("GET", "/v1/jobs", "jobs"),
    ("GET", "/v1/jobs/{job:number}", "job"),
    ("GET", "/v1/jobs/{job:number}/logs/{stream}", "log"),
    ("POST", "/v1/jobs/{verb:verb}", "verb"),
    ("POST", "/v1/jobs", "submit"),
    ("GET", "/healthz", "health"),
    ("HEAD", "/v1/sandboxes/{name}", "look"),
    ("GET", "/v1/sandboxes/{name}", "read"),
)
STAMP = "0123456789abcdef" * 2


@pytest.fixture
def router() -> Router[str]:
    return Router(ROUTES)


@pytest.mark.parametrize(
    ("method", "path", "target", "parts"),
    [
        ("POST", f"/v1/pilots/{STAMP}/match", "match", {"stamp": STAMP}),
        ("GET", f"/v1/pilots/{STAMP}", "pilot", {"stamp": STAMP}),
        ("GET", "/v1/jobs/17/logs/job-17-1-stdout", "log", {"job": "17", "stream": "job-17-1-stdout"}),
        ("POST", "/v1/jobs/kill", "verb", {"verb": "kill"}),
        ("POST", "/v1/jobs", "submit", {}),
        ("HEAD", "/healthz", "health", {}),
        ("HEAD", "/v1/sandboxes/x", "look", {"name": "x"}),
    ],
)
def test_a_request_finds_its_route(
    router: Router[str], method: str, path: str, target: str, parts: dict[str, str]
) -> None:
    """Method and path lead to one target, with the parts of the path by name; a HEAD without a
    route of its own goes where a GET does."""
    assert router.find(method, path) == Found(target, parts)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/jobs/0"),
        ("GET", "/v1/jobs/x"),
        ("GET", "/v1/jobs/1/"),
        ("GET", "/v1/jobs/1\n"),
        ("GET", f"/v1/pilots/{STAMP}0"),
        ("GET", "/v1/jobs/1/logs/a/b"),
        ("BREW", "/v1/jobs"),
        ("GET", ""),
    ],
)
def test_what_looks_otherwise_is_not_found(router: Router[str], method: str, path: str) -> None:
    """A part that does not look as declared, or anything more or less than the path, leads nowhere."""
    assert router.find(method, path) is None


def test_other_methods_are_told(router: Router[str]) -> None:
    """Of a path that exists it is known which methods it takes; of another, none."""
    assert set(router.methods("/v1/jobs")) == {"GET", "POST"}
    assert router.methods("/v1/nothing") == ()


def test_of_two_routes_the_earlier_has_it() -> None:
    """A path that two routes would take goes to the one declared first."""
    router = Router((("GET", "/{name:name}", "first"), ("GET", "/jobs", "second")))
    assert router.find("GET", "/jobs") == Found("first", {"name": "jobs"})
