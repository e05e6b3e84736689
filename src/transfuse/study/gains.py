"""How much better one recipe is than another, and how many labels that is worth."""

from collections.abc import Mapping, Sequence

from transfuse.evaluation import Bootstrap, Replicates, holm, labels_needed
from transfuse.study.numbers import Cell, Number, at
from transfuse.study.plan import StudyPlan

__all__ = ["efficiency", "gains"]

Measured = tuple[str, Bootstrap, Mapping[Cell, Replicates]]
"""The `split` that numbers carry, its bootstrap, and each recipe's metric under it."""


def gains(study: StudyPlan, sides: Sequence[Measured], budgets: Sequence[int]) -> list[Number]:
    """The gains over each baseline at each budget.

    P-values are corrected for all recipes, and all sides, that are compared with one baseline at
    one budget.

    Args:
        study: What was compared.
        sides: On whose rows.
        budgets: The budgets.
    """
    numbers = []
    for baseline in study.baselines:
        for budget in budgets:
            found = [
                (split, below.metric.name, name, bootstrap.gain(own, below))
                for split, bootstrap, replicates in sides
                for name in study.plans
                if (below := at(replicates, baseline, budget)) is not None
                and name != baseline
                and (own := at(replicates, name, budget)) is not None
            ]
            adjusted = holm([gain.p for *_, gain in found])
            for (split, metric, name, gain), p_holm in zip(found, adjusted, strict=True):
                numbers.append(
                    Number(
                        "gain",
                        name,
                        budget,
                        metric,
                        gain.value,
                        split=split,
                        baseline=baseline,
                        low=gain.low,
                        high=gain.high,
                        p=gain.p,
                        p_holm=float(p_holm),
                    )
                )
    return numbers


def efficiency(
    study: StudyPlan, replicates: Mapping[Cell, Replicates], budgets: Sequence[int]
) -> list[Number]:
    """The labels that each baseline would need for the score of each recipe.

    Args:
        study: What was compared.
        replicates: Each recipe's metric.
        budgets: The budgets.
    """
    numbers = []
    for baseline in study.baselines:
        curve = {b: replicates[baseline, b] for b in budgets if (baseline, b) in replicates}
        if len(curve) < 2:
            continue
        higher = next(iter(curve.values())).metric.higher_is_better
        for name in study.plans:
            for budget in budgets:
                own = replicates.get((name, budget))
                if name == baseline or own is None:
                    continue
                needed = labels_needed(
                    list(curve), [each.value for each in curve.values()], own.value, higher
                )
                for metric, value in (("labels_needed", needed), ("label_ratio", needed / budget)):
                    numbers.append(
                        Number("efficiency", name, budget, metric, value, baseline=baseline)
                    )
    return numbers
