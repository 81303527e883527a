"""URLs of storages: which are accepted where, what becomes of an output's name in one, and how a job file says it."""

from __future__ import annotations

from typing import Any

import pytest

from pilot.destination import is_metadata, parse_destination, parse_source, serves_one, shown, target_of
from pilot.errors import InvalidInput, InvalidJob
from pilot.jobfile import fill_spec, members, parse
from pilot.jobtransfers import check_filled
from pilot.protocol import OutputRule, UrlInput


@pytest.mark.parametrize(
    "text",
    [
        "sandbox",
        "file:///cvmfs/store/",
        "https://dav.example/data/",
        "https://dav.example:8443/data/{job}.root",
        "https://[2001:db8::1]:443/x",
        "https://[2001:db8::1]/x",
        f"https://{'a' * 63}.example./x",
        "davs://se.example/vo/{seed}/{name}",
        "https://{site}.example/x/",
        "s3://bucket.name/prefix/{name}",
        "root://se.example:1094//data/",
    ],
)
def test_destinations(text: str) -> None:
    """Every kind of storage is written as its own users write it."""
    assert parse_destination(text, "to") == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "expected sandbox or a URL"),
        ("elsewhere", "expected sandbox or a URL"),
        ("http://dav.example/x", "expected sandbox or a URL"),
        ("ftp://dav.example/x", "file://, https://, davs://, s3://, root://"),
        ("https://ann:secret@dav.example/x", "belong into `credentials`"),
        ("https://dav.example", "with a path"),
        ("https:///x", "expected a host"),
        ("https://dav.example:99999/x", "expected a host"),
        ("https://a..b/x", "expected a host"),
        (f"https://{'a' * 64}.example/x", "expected a host"),
        (f"https://{'a.' * 130}example/x", "expected a host"),
        ("https://[::::]/x", "expected a host"),
        ("https://dav example/x", "without blanks"),
        ("https://dav.example/x?sig=1", "without query"),
        ("https://dav.example/x#y", "without query"),
        ("https://dav.example/a/../../x", "no .. in it"),
        ("https://dav.example/a/%2e%2e/x", "no .. in it"),
        ("file://host/x", "expected file:///PATH"),
        ("s3://B/x", "expected s3://BUCKET/KEY"),
        ("root://h/x/", "expected root://HOST//PATH"),
        ("https://dav.example/\n", "without blanks"),
    ],
)
def test_what_is_no_destination(text: str, problem: str) -> None:
    """A wrong URL is refused with what was expected, and without its secrets."""
    with pytest.raises(InvalidInput) as caught:
        parse_destination(text, "jobs[0].outputs[1].to[0]")
    assert problem in caught.value.problem
    assert caught.value.where == "jobs[0].outputs[1].to[0]"
    assert "secret" not in str(caught.value)


def test_sources_may_have_a_query() -> None:
    """Download links often have one; it is never shown."""
    assert parse_source("https://zenodo.example/x.csv?download=1", "url")
    assert shown("https://zenodo.example/x.csv?token=secret") == "https://zenodo.example/x.csv"
    with pytest.raises(InvalidInput, match="of a folder"):
        parse_source("https://zenodo.example/x/?download=1", "url")


@pytest.mark.parametrize(
    ("text", "name", "url", "path"),
    [
        ("https://h/d/", "a/b.root", "https://h/d/a/b.root", "/d/a/b.root"),
        ("https://h/{job}.{attempt}.root", "b.root", "https://h/7.2.root", "/7.2.root"),
        ("https://h/{name}.copy", "ä ?#%", "https://h/%C3%A4%20%3F%23%25.copy", "/%C3%A4%20%3F%23%25.copy"),
        ("file:///d%20e/", "ä b", "file:///d%20e/%C3%A4%20b", "/d e/ä b"),
        ("s3://bucket/p/", "ä b", "s3://bucket/p/ä b", "/p/ä b"),
        ("root://h//d/", "a b", "root://h//d/a b", "//d/a b"),
        ("https://h/d/", "{job}", "https://h/d/%7Bjob%7D", "/d/%7Bjob%7D"),
    ],
)
def test_where_an_output_goes(text: str, name: str, url: str, path: str) -> None:
    """The name is put in as the storage wants it written; braces in a name mean nothing."""
    target = target_of(text, 7, 2, name)
    assert (target.url, target.path) == (url, path)


def test_serves_one() -> None:
    """A URL that is a whole name takes one file."""
    assert [serves_one(text) for text in ("sandbox", "https://h/d/", "https://h/{name}", "https://h/x")] == [
        False, False, False, True,
    ]  # fmt: skip


# -- in a job file ----------------------------------------------------------------------------------------------------


def job(**more: Any) -> dict[str, Any]:
    return {"command": ["true"], **more}


def test_inputs_by_url() -> None:
    """An input is a path beside the file, or a URL with its name and what is known of it."""
    urls = [
        "local.txt",
        {"url": "https://h/data.csv", "sha256": "A" * 64, "size": "1 kB"},
        {"url": "davs://h/x", "name": "sub/x.root", "adler32": "1F2", "executable": True},
    ]
    spec = parse(job(inputs=urls)).spec
    assert parse(job(inputs=urls)).inputs == ("local.txt",)
    assert spec.urls == (
        UrlInput("data.csv", "https://h/data.csv", "a" * 64, "", 1000),
        UrlInput("sub/x.root", "davs://h/x", "", "000001f2", None, True),
    )


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("https://h/x", "inputs[0]: a URL is written with its name"),
        ({"name": "x"}, "inputs[0].url: expected where the file is"),
        ({"url": "http://h/x"}, "inputs[0].url: expected sandbox or a URL"),
        ({"url": "https://h/x", "sha256": "abc"}, "inputs[0].sha256: expected 64 hex digits"),
        ({"url": "https://h/x", "adler32": "xyz"}, "inputs[0].adler32: expected up to 8"),
        ({"url": "https://h/x", "name": "../x"}, "inputs[0].name: expected a path inside"),
        ({"url": "https://h/x", "md5": "1"}, "inputs[0].md5: unknown key"),
        ({"url": "https://h/"}, "expected the URL of a file"),
        (["x"], "inputs[0]: expected a path, or"),
    ],
)
def test_wrong_inputs(entry: Any, problem: str) -> None:
    """Problems of an input are told with its place."""
    with pytest.raises(InvalidJob) as caught:
        parse(job(inputs=[entry]))
    assert problem in str(caught.value)


def test_a_name_is_used_once() -> None:
    """Two inputs do not fight for one name."""
    with pytest.raises(InvalidJob, match="'x' twice"):
        parse(job(inputs=["x", {"url": "https://h/x"}]))


def test_the_executable_may_come_from_a_url() -> None:
    """What the job runs is made executable, and not looked for beside the file."""
    document = parse({"executable": "./run.sh", "inputs": [{"url": "https://h/run.sh"}]})
    assert document.inputs == ()
    assert document.spec.urls[0].executable


def test_several_files_need_several_names() -> None:
    """A pattern that may find several files is not sent to one name."""
    with pytest.raises(InvalidJob, match=r"outputs\[0\].to\[1\]: expected a URL that ends in a slash"):
        parse(job(outputs=[{"path": "*.root", "to": ["https://h/d/", "https://h/one"]}]))
    assert parse(job(outputs=[{"path": "one", "to": "https://h/one"}])).spec.outputs[0].to == ("https://h/one",)


def test_root_needs_its_client() -> None:
    """A job whose files only go by root:// runs where the client for it is; with a choice it runs anywhere."""
    only = {"path": "a", "to": ["root://h//a"]}
    either = {"path": "a", "to": ["root://h//a", "sandbox"]}
    assert parse(job(outputs=[only], needs={"tags": "a | b"})).spec.needs.tags == "(a | b) & xrdcp"
    assert parse(job(outputs=[either])).spec.needs.tags == ""
    assert parse(job(inputs=[{"url": "root://h//a"}])).spec.needs.tags == "xrdcp"


def test_sweeps_reach_into_urls() -> None:
    """Values of a sweep are put into names and URLs, and may not lead elsewhere."""
    document = parse(
        job(
            sweep={"run": ["1", "../2"]},
            inputs=[{"url": "https://h/{run}.csv", "name": "{run}.csv"}],
            outputs=[{"path": "{run}.out", "to": "https://h/{run}/{name}"}],
        )
    )
    first, second = members(document)
    spec = fill_spec(document.spec, first, ())
    assert spec.urls == (UrlInput("1.csv", "https://h/1.csv"),)
    assert spec.outputs == (OutputRule("1.out", ("https://h/1/{name}",)),)

    def wrong(values: dict[str, str]) -> list[str]:
        fill = lambda text: text.replace("{run}", values["run"])
        return [problem.where for problem in check_filled(document.spec.outputs, document.spec.urls, fill, "jobs[0]")]

    assert wrong(first) == []
    assert wrong(second) == ["jobs[0].outputs[0]", "jobs[0].outputs[0].to", "jobs[0].inputs", "jobs[0].inputs"]


def problems_of(**more: Any) -> list[str]:
    """What is wrong with a job."""
    try:
        parse(job(**more))
    except InvalidJob as wrong:
        return [str(problem) for problem in wrong.problems]
    return []


@pytest.mark.parametrize(
    ("path", "to", "good"),
    [
        ("r.txt", "https://h/{job}/", True),
        ("r.txt", "https://h/{a}/{b}.txt", True),
        ("r-{a}-{b}.txt", "https://h/", True),
        ("r-{a}.txt", "https://h/{b}/{name}", True),
        ("r.txt", "sandbox", True),
        ("r.txt", "https://h/", False),
        ("r.txt", "https://h/{attempt}/", False),
        ("r.txt", "https://h/{a}/", False),
        ("r-{a}-{b}.txt", "https://h/r.txt", False),
        ("*.txt", "https://h/", False),
    ],
)
def test_jobs_of_a_sweep_do_not_overwrite_each_other(path: str, to: str, good: bool) -> None:
    """A target that is the same for several jobs of a sweep is refused, and what would tell them apart is named."""
    outputs = [{"path": path, "to": [to]}]
    found = problems_of(outputs=outputs, sweep={"a": "1..2", "b": "1..2", "one": [7]})
    assert (not found) is good, found
    assert good or "outputs[0].to[0]: expected {job}, or" in found[0]
    assert not problems_of(outputs=outputs, sweep={"a": [1], "b": [1]})


def test_placeholders_mean_something() -> None:
    """A placeholder that nobody fills in is refused, in outputs and in inputs, and the known ones are named."""
    found = problems_of(outputs=[{"path": "r.txt", "to": ["https://h/{jbo}/"]}], sweep={"a": [1]})
    assert found == [
        "outputs[0].to[0]: expected one of the placeholders {job}, {attempt}, {name}, {a}, got {jbo} in https://h/{jbo}/"
    ]
    assert "got {job} in https://h/{job}" in problems_of(inputs=[{"url": "https://h/{job}"}])[0]


def test_destinations_are_listed_once() -> None:
    """An empty list and a destination that is listed twice are mistakes."""
    assert "outputs[0].to: expected at least one" in problems_of(outputs=[{"path": "x", "to": []}])[0]
    found = problems_of(outputs=[{"path": "x", "to": ["sandbox", "sandbox"]}])
    assert found == ["outputs[0].to[1]: expected each destination once, got sandbox twice"]


def test_credentials_are_a_list_of_names() -> None:
    """One text for a list, and a name that is there twice, are mistakes."""
    assert "credentials: expected a list of names, as [tok]" in problems_of(credentials="tok")[0]
    assert problems_of(credentials=["a", "b", "a"]) == ["credentials[2]: expected each name once, got 'a' twice"]


def test_s3_needs_a_credential() -> None:
    """A job that names none could never reach its bucket."""
    one = [{"path": "x", "to": ["s3://lake/{job}/", "sandbox"]}]
    told = "credentials: s3://lake/{job}/ needs a credential of kind s3, and none is named here (files.credential)"
    assert problems_of(outputs=one) == [told]
    assert not problems_of(outputs=one, credentials=["lake"])
    assert "s3://lake/in" in problems_of(inputs=[{"url": "s3://lake/in"}])[0]


def test_an_output_may_be_optional() -> None:
    """A plain name that need not be there says so."""
    (rule,) = parse(job(outputs=[{"path": "core", "optional": True}])).spec.outputs
    assert rule == OutputRule("core", (), True)
    document = parse(job(outputs=[{"path": "core-{a}", "optional": True}], sweep={"a": [1, 2]}))
    assert fill_spec(document.spec, {"a": "1"}, ()).outputs == (OutputRule("core-1", (), True),)


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        ("169.254.169.254", True),
        ("::ffff:169.254.169.254", True),
        ("fe80::1%eth0", True),
        ("fd00:ec2::254", True),
        ("100.100.100.200", True),
        ("::ffff:100.100.100.200", True),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("::1", False),
        ("s3.example.org", False),
    ],
)
def test_addresses_of_metadata_services(host: str, is_one: bool) -> None:
    """Addresses at which clouds tell a machine's secrets are known in every way that they are written."""
    assert is_metadata(host) is is_one
