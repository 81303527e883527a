"""Job files: YAML and JSON, several at once, and keys set from the command line."""

import io
import json

import pytest

from pilot.errors import InvalidInput, PilotageError
from pilotage.documents import assign, read


def test_a_file_may_hold_several_documents(tmp_path):
    """Documents of YAML and the members of a list are all jobs, numbered in their labels."""
    path = tmp_path / "jobs.yaml"
    path.write_text("command: [a]\n---\n- command: [b]\n- command: [c]\n---\n")

    files = read(str(path), io.StringIO())

    assert [file.document["command"] for file in files] == [["a"], ["b"], ["c"]]
    assert [file.label for file in files] == [f"{path}, job {number}" for number in (1, 2, 3)]
    assert files[0].base == tmp_path


def test_a_json_file_is_read_as_json(tmp_path):
    """The ending .json is read by JSON's rules."""
    path = tmp_path / "job.json"
    path.write_text(json.dumps({"command": ["a"]}))

    assert [file.label for file in read(str(path), io.StringIO())] == [str(path)]
    path.write_text("command: [a]")
    with pytest.raises(PilotageError, match=r"job\.json is not JSON: .*line 1"):
        read(str(path), io.StringIO())


def test_standard_input_is_a_file():
    """The name - reads what is piped in."""
    (file,) = read("-", io.StringIO("command: [a]"))

    assert file.document == {"command": ["a"]}
    assert file.label == "standard input"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("command: [a", "not YAML: line 1"),
        ("name: a\nname: b\n", "line 2, column 1: the key 'name' comes twice"),
        ("", "has no job"),
        ("a: !!python/object/apply:os.system [id]", "not YAML"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path, text, says):
    """A file that cannot be read says where, and nothing in it is ever run."""
    path = tmp_path / "job.yaml"
    path.write_text(text)

    with pytest.raises(PilotageError, match=says):
        read(str(path), io.StringIO())


def test_a_missing_file_is_told_by_name(tmp_path):
    """The sentence names the file."""
    with pytest.raises(PilotageError, match=r"nowhere\.yaml cannot be read: No such file"):
        read(str(tmp_path / "nowhere.yaml"), io.StringIO())


def test_keys_are_set_at_any_depth():
    """KEY=VALUE replaces a key, makes sections, and reads the value as YAML; the document given stays as it is."""
    document = {"command": ["a"], "needs": {"cores": 1, "memory": "1 GB"}}

    result = assign(document, ["needs.cores=4", "name=fit", "sweep.seed=1..3", "outputs=[a, b]"])

    assert result["needs"] == {"cores": 4, "memory": "1 GB"}
    assert (result["name"], result["sweep"], result["outputs"]) == ("fit", {"seed": "1..3"}, ["a", "b"])
    assert document["needs"]["cores"] == 1


@pytest.mark.parametrize("setting", ["cores", "=4", "needs..cores=4", "a=[1"])
def test_a_setting_that_is_none_is_refused(setting):
    """What cannot be read as KEY=VALUE is an error, not a guess."""
    with pytest.raises(InvalidInput, match="--set"):
        assign({}, [setting])
