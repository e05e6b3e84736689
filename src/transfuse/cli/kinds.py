"""Every method and group of settings that a recipe can name, by the recipe's own keys."""

from collections.abc import Mapping

from transfuse.balancing import BALANCERS
from transfuse.compression import COMPRESSIONS
from transfuse.data import AUGMENTATIONS, Cleaning, Splitting
from transfuse.evaluation import METRICS
from transfuse.fusion import ANSWERS, MERGES
from transfuse.models import COLUMN_FUSIONS, FUSIONS
from transfuse.objectives import OBJECTIVES
from transfuse.recipe import MethodHelp, describe
from transfuse.study import Comparison
from transfuse.tasks import TASKS
from transfuse.training import Training
from transfuse.transfer import MODELS, TableChoice
from transfuse.tuning import TUNINGS

__all__ = ["all_kinds"]


def all_kinds() -> dict[str, tuple[str, Mapping[str, MethodHelp]]]:
    """For each kind its title and its methods by name."""
    kinds: dict[str, tuple[str, Mapping[str, type]]] = {
        "model": ("where knowledge comes from", MODELS),
        "tune": ("what moves", TUNINGS),
        "learn": ("what is learned, on which rows", OBJECTIVES),
        "fusion": ("what several tasks share beside the encoder", FUSIONS),
        "columns": ("how several columns become one vector", COLUMN_FUSIONS),
        "balance": ("how the losses are weighed", BALANCERS),
        "answers": ("after training: fusing what models answer", ANSWERS),
        "merge": ("after training: merging weights", MERGES),
        "compress": ("after training: smaller and faster", COMPRESSIONS),
        "task": ("what a prediction is", TASKS),
        "augment": ("ways to make more of few texts", AUGMENTATIONS),
        "data": ("settings of each table under `data`", {"table": TableChoice}),
        "clean": ("settings of cleaning", {"clean": Cleaning}),
        "split": ("settings of splitting", {"split": Splitting}),
        "train": ("settings of training", {"train": Training}),
        "study": ("settings of a comparison", {"study": Comparison}),
    }
    made = {
        kind: (title, {method.name: method for method in describe(methods)})
        for kind, (title, methods) in kinds.items()
    }
    return {**made, "metric": ("what is measured", _metrics())}


def _metrics() -> dict[str, MethodHelp]:
    return {
        name: MethodHelp(
            name,
            f"{metric.title}, {'more' if metric.higher_is_better else 'less'} is better",
            f"For {metric.kind}, from {metric.bounds[0]:g} to {metric.bounds[1]:g}.",
            (),
        )
        for name, metric in METRICS.items()
    }
