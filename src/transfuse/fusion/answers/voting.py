"""What most members say."""

from dataclasses import dataclass
from typing import Any, ClassVar

from transfuse.answering import Tell
from transfuse.answering.rules import Rule, Vote
from transfuse.fusion.answers.base import AnswerFusion, Gathered

__all__ = ["Voting"]


@dataclass(frozen=True)
class Voting(AnswerFusion):
    """The answer that most members give; ties go to the greater mean probability.

    The probabilities are the mean of those members who gave it (of several labels, each label is
    voted on for itself).
    """

    kinds: ClassVar[tuple[str, ...]] = ("classification", "multilabel")
    needs_rows: ClassVar[bool] = False

    def choose(self, gathered: Gathered, seed: int, tell: Tell) -> tuple[Rule, dict[str, Any]]:
        """See `AnswerFusion.choose`."""
        return Vote(), {"fitted_on": "nothing"}
