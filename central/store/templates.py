"""Documents made ready to fill in the jobs of a sweep, one after another: what has no placeholder is not looked at."""

from __future__ import annotations

from central.store import codec
from pilot.jobfile import fill
from pilot.protocol import JobSpec


class Template:
    """A document as a store keeps it, decoded."""

    def __init__(self, stored: str) -> None:
        self.length = len(stored)
        self.spec = spec = codec.spec(stored)
        self._fields = vars(spec)
        self._open = [place for place, word in enumerate(spec.command) if "{" in word]
        self._named = "{" in spec.name
        texts = [*spec.environment.values(), spec.container or ""]
        texts += (text for rule in spec.outputs for text in (rule.pattern, *rule.to))
        texts += (text for one in spec.urls for text in (one.name, one.url))
        self._usual = not any("{" in text for text in texts)

    def filled(self, parameters: str | None, inputs: str | None) -> JobSpec:
        """A job as it runs, from what is its own: JSON of its values, and of its inputs where these differ."""
        if parameters is None or not self._usual:
            return codec.fill(self.spec, parameters, inputs)
        values = codec.parameters(parameters)
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
        if inputs is not None:
            own["inputs"] = codec.inputs(inputs)
        return job
