"""What watches a run. A callback reads; it never changes what is learnt."""

from collections.abc import Mapping
from dataclasses import dataclass

from transfuse.tuning import Stage

__all__ = ["Callback", "StepReport"]


@dataclass(frozen=True)
class StepReport:
    """One step, as callbacks see it."""

    stage: str
    step: int
    """Steps done in the whole run."""

    steps: int
    """Steps of the whole run."""

    losses: Mapping[str, float]
    weights: Mapping[str, float]
    learning_rate: float


class Callback:
    """Base of callbacks: every hook does nothing."""

    def on_stage(self, stage: Stage, index: int, stages: int, steps: int) -> None:
        """A stage begins.

        Args:
            stage: The stage.
            index: Its number, from 0.
            stages: How many there are.
            steps: Its steps; 0 where it is solved.
        """

    def on_notice(self, text: str) -> None:
        """Something a person wants to know, for instance that a run is resumed."""

    def on_step(self, report: StepReport) -> None:
        """A step is done."""

    def on_evaluation(self, step: int, scores: Mapping[str, float]) -> None:
        """The validation rows were scored."""

    def close(self) -> None:
        """The run ends, well or not; always called."""
