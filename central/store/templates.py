"""Documents made ready to fill in the jobs of a sweep, one after another: what has no placeholder is not looked at."""

from __future__ import annotations

import msgspec

from pilot.jobfile import fill, fill_spec
from pilot.protocol import InputFile, JobSpec

_SPEC = msgspec.json.Decoder(JobSpec)
_INPUTS = msgspec.json.Decoder(tuple[InputFile, ...])
_PARAMETERS = msgspec.json.Decoder(dict[str, str])


class Template:
    """A document as a store keeps it, decoded."""

    def __init__(self, stored: str) -> None:
        self.length = len(stored)
        self.spec = spec = _SPEC.decode(stored)
        self._fields = vars(spec)
        self._open = [place for place, word in enumerate(spec.command) if "{" in word]
        self._named = "{" in spec.name
        texts = [*spec.environment.values(), spec.container or ""]
        texts += (text for rule in spec.outputs for text in (rule.pattern, *rule.to))
        self._usual = not any("{" in text for text in texts)

    def filled(self, parameters: str | None, inputs: str | None) -> JobSpec:
        """A job as it runs, from what is its own: JSON of its values, and of its inputs where these differ."""
        files = self.spec.inputs if inputs is None else _INPUTS.decode(inputs)
        if parameters is None:
            return fill_spec(self.spec, {}, files)
        values = _PARAMETERS.decode(parameters)
        if not self._usual:
            return fill_spec(self.spec, values, files)
        # What has no placeholders is shared with the document. Twelve fields set one by one take four times as long,
        # and this is done for every match.
        job = object.__new__(JobSpec)
        own = vars(job)
        own.update(self._fields)
        if self._open:
            words = list(self.spec.command)
            for place in self._open:
                words[place] = fill(words[place], values)
            own["command"] = tuple(words)
        if self._named:
            own["name"] = fill(self.spec.name, values)
        own["inputs"] = files
        return job
