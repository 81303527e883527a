"""Documents that fill in jobs: the same jobs as by the slow way, for every kind of placeholder."""

from __future__ import annotations

import pytest

from central.store import codec
from central.store.templates import Template
from pilot.jobfile import fill_spec
from pilot.protocol import InputFile, JobSpec, OutputRule

INPUT = InputFile("data", "0" * 64, 1)
SPECS = {
    "nothing open": JobSpec(("true",), name="n"),
    "command and name": JobSpec(("run", "--seed", "{a}", "{b}{a}", "{c}"), name="run-{a}", inputs=(INPUT,)),
    "environment": JobSpec(("run", "{a}"), environment={"SEED": "{a}"}),
    "container": JobSpec(("run",), container="image-{b}"),
    "outputs": JobSpec(("run",), outputs=(OutputRule("{a}.root", ("out-{b}",)),)),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("values", [{}, {"a": "1", "b": "{a}"}])
@pytest.mark.parametrize("files", [None, (INPUT, InputFile("more", "1" * 64, 2))])
def test_a_template_fills_in_as_a_job_is_filled_in(
    spec: JobSpec, values: dict[str, str], files: tuple[InputFile, ...] | None
) -> None:
    """A job from a template is the document with its values and inputs put in, and the document stays as it is."""
    template = Template(codec.text(spec))
    expected = fill_spec(spec, values, spec.inputs if files is None else files)
    own = codec.text(values) if values else None
    for _ in range(2):
        assert template.filled(own, None if files is None else codec.text(files)) == expected
    assert template.spec == spec
