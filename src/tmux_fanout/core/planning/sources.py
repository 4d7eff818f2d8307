"""Where latencies come from: what is stated, what outputs say, and what runs have learned.

What is stated of an API wins, then what outputs and sample calls say; a rate that was learned holds
beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from tmux_fanout.core.config.plan import RunPlan
from tmux_fanout.core.errors import ConfigError
from tmux_fanout.core.planning.distributions import Distribution, parse_latency
from tmux_fanout.core.planning.learned import Learned
from tmux_fanout.core.planning.model import ApiModel, OutcomeSample, stated
from tmux_fanout.core.planning.series import pause_of
from tmux_fanout.core.results.output_line import OutputLine
from tmux_fanout.core.text import joined, nearest, printable

_GIVE = (
    "give --from {source}, --sample 100 to make real calls, or --latency "
    "{name}=lognormal:120ms,p99=2s"
)


class Knowledge:
    """Gathers how the APIs of a plan answer.

    Args:
        plan: of the run.
        stated_latencies: as `--latency` has them.

    Attributes:
        processor: seconds of processor time of a request, as it was learned; or None.

    Raises:
        ConfigError: a latency cannot be used.
    """

    def __init__(self, plan: RunPlan, stated_latencies: Iterable[str]) -> None:
        self.processor: float | None = None
        self._names = [api.name for api in plan.apis]
        self._stated: dict[str | None, tuple[Distribution, str]] = {}
        for text in stated_latencies:
            name, latency = parse_latency(text)
            if name is not None and name not in self._names:
                why = f"--latency: no API {printable(repr(name))}: {nearest(name, self._names)}"
                raise ConfigError(why)
            self._stated[name] = (latency, f"--latency {printable(text)}")
        self._samples = {api.name: OutcomeSample(pause_of(api.series)) for api in plan.apis}
        self._origins: dict[str, list[str]] = {name: [] for name in self._names}
        self._read: dict[str, None] = {}  # all origins, in order
        self._learned: dict[str, ApiModel] = {}
        self._rates: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<Knowledge: {self._samples}>"

    def add_line(self, line: OutputLine, origin: str) -> None:
        """Take over the outcomes of a line of output."""
        self._read[origin] = None
        for name, outcome in zip(line.names or (), line.outcomes):
            via = outcome.via
            if via and name in self._samples:
                self._samples[name].add_lost()
            sample = self._samples.get(via or name)
            if sample is not None:
                sample.add(outcome)
                origins = self._origins[via or name]
                if origin not in origins:
                    origins.append(origin)

    def add_learned(self, learned: Learned, origin: str) -> None:
        """Take over what a run has learned; what came before holds, where both know something."""
        self._read[origin] = None
        self.processor = learned.processor if self.processor is None else self.processor
        self._learned = {**learned.apis, **self._learned}
        self._rates = {**learned.rates, **self._rates}

    def models(self) -> Sequence[ApiModel]:
        """Return how each API answers.

        Raises:
            ConfigError: nothing is known of one; the message names it, and what to give.
        """
        models = {name: self._model(name) for name in self._names}
        unknown = [name for name, model in models.items() if model is None]
        if unknown:
            verb = "does" if len(unknown) == 1 else "do"
            what = f"how long {verb} {joined(unknown)} take?"
            raise ConfigError(f"{what}  {self._advice(unknown)}")
        return [model for model in models.values() if model is not None]

    def _advice(self, unknown: Sequence[str]) -> str:
        """Return why what was read does not tell how some APIs answer, and what to give."""
        silent = [name for name in unknown if self._origins[name]]
        absent = [name for name in unknown if name not in silent]
        lacks = [
            f"no call of {name} in {joined(self._origins[name])} was a single request, and without "
            "--timings no other tells"
            for name in silent
        ]
        if absent and self._read:
            lacks.append(f"no call of {joined(absent)} is in {joined(list(self._read))}")
        source = "OUTPUT of a run with --timings" if silent else "OUTPUT of an earlier run"
        give = _GIVE.format(source=source, name=unknown[0])
        return f"{'; '.join(lacks)}: {give}" if lacks else give

    def _model(self, name: str) -> ApiModel | None:
        rate = self._rates.get(name)
        if own := self._stated.get(name):
            return replace(stated(*own), rate=rate)
        sampled = self._samples[name].model(", ".join(self._origins[name]))
        if sampled:
            return replace(sampled, rate=rate)
        if name in self._learned:
            return self._learned[name]
        others = self._stated.get(None)
        return replace(stated(*others), rate=rate) if others else None
