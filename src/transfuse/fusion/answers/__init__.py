"""Several models that answer as one; they need not have anything in common but the task.

Read `base.py` first.
"""

from transfuse.answering import Stage
from transfuse.fusion.answers.average import Average
from transfuse.fusion.answers.base import AnswerFusion, Gathered
from transfuse.fusion.answers.bma import Bma
from transfuse.fusion.answers.by_score import ByScore
from transfuse.fusion.answers.gate import Gate
from transfuse.fusion.answers.greedy import Greedy
from transfuse.fusion.answers.learned import Learned
from transfuse.fusion.answers.stacking import Stacking
from transfuse.fusion.answers.voting import Voting

__all__ = ["ANSWERS", "AnswerFusion", "Gathered"]

ANSWERS: dict[str, type[Stage]] = {
    "average": Average,
    "by_score": ByScore,
    "learned": Learned,
    "greedy": Greedy,
    "stacking": Stacking,
    "voting": Voting,
    "bma": Bma,
    "gate": Gate,
}
