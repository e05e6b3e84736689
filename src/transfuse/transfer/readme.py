"""The README of a model folder: what the model is, how good, and how to load it."""

from transfuse.answering import Kept
from transfuse.data import Role
from transfuse.evaluation import METRICS
from transfuse.models import LinearHead, Network
from transfuse.tasks import Regression, Task
from transfuse.transfer.choices import Tfidf
from transfuse.transfer.run import Outcome

__all__ = ["model_readme"]

_TASKS = """Transformers needs Transfuse's model class, which `import transfuse` makes known to it:

```python
import transfuse
from transformers import AutoModelForSequenceClassification, AutoTokenizer

model = AutoModelForSequenceClassification.from_pretrained("THIS_FOLDER")
tokens = AutoTokenizer.from_pretrained("THIS_FOLDER")(["A text."], return_tensors="pt")
logits = model(**tokens, task="TASK").logits  # without `task`, those of the first
```

Its probabilities are those before the temperature."""

_PICTURES = """Transformers opens the folder too; `import transfuse` makes Transfuse's own model
classes known to it:

```python
import transfuse
from transformers import pipeline

classify = pipeline("image-classification", model="THIS_FOLDER")
```

{scale}"""

_PYTHON = "From Python: `transfuse.load_model(folder).predict(rows)`."


def model_readme(outcome: Outcome, model: Kept, task: Task) -> str:
    """The text of the README.

    Args:
        outcome: The run that made the model.
        model: The model.
        task: Its task.
    """
    plan, card = outcome.plan, outcome.scorecard
    source = "TF-IDF" if isinstance(plan.model, Tfidf) else plan.model.source
    scores = "\n".join(
        f"| {_title(name)} | {METRICS[_metric(name)].show(value)} |"
        for name, value in card.metrics.items()
        if _metric(name) in METRICS
    )
    return f"""# {plan.name}

{_what(outcome, task)}

Made with Transfuse from `{source}` with seed {plan.seed}. The whole
recipe and its measurements are in `transfuse.json`.

## Measured on {card.rows} held-out rows

| metric | value |
|---|---|
{scores}

{_temperature(outcome)}

## Use

```
transfuse predict THIS_FOLDER my.csv --output predictions.csv
```

{_loading(model, task)}
"""


def _metric(name: str) -> str:
    """The metric, without the task that it is of."""
    return name.rpartition("/")[2]


def _title(name: str) -> str:
    task = name.rpartition("/")[0]
    title = METRICS[_metric(name)].title
    return f"{task}: {title}" if task else title


def _what(outcome: Outcome, task: Task) -> str:
    """What the model answers."""
    if not outcome.tasks:
        labels = ", ".join(f"`{name}`" for name in task.label_names[:20])
        return f"A {task.kind} model for the labels {labels}."
    names = ", ".join(f"`{name}`" for name in outcome.tasks)
    return (
        f"One model for the tasks {names}. The first answers unless another is named by `--task`."
    )


def _temperature(outcome: Outcome) -> str:
    if outcome.tasks:
        return (
            "Probabilities that Transfuse predicts are softened by a temperature for each task,\n"
            "fitted on its validation rows."
        )
    return (
        "Probabilities that Transfuse predicts are softened by the temperature "
        f"{outcome.scorecard.temperature:.3f}, which\nwas fitted on validation rows."
    )


def _loading(model: Kept, task: Task) -> str:
    if not isinstance(model, Network):
        return _PYTHON
    reads, custom = model.encoder.reads, isinstance(dict(model.heads).get("target"), LinearHead)
    if reads == (Role.IMAGE,) and custom:
        return _PICTURES.format(scale=_scale(task, custom))
    if reads != (Role.TEXT,):
        return _PYTHON
    if "target" not in model.heads:
        return _TASKS
    why = (
        "Token vectors are pooled in a way that is not the architecture's own, so transformers\n"
        "needs Transfuse's model class, which `import transfuse` makes known to it:\n"
        if custom
        else "The head is the architecture's own, so plain transformers loads the folder:\n"
    )
    first = "import transfuse\n" if custom else ""
    return f"""{why}
```python
{first}from transformers import pipeline

classify = pipeline("text-classification", model="THIS_FOLDER")
```

{_scale(task, custom)}"""


def _scale(task: Task, custom: bool) -> str:
    """How the numbers of transformers differ from those of Transfuse."""
    if not isinstance(task, Regression):
        return "Its probabilities are those before the temperature."
    library = "Transfuse's model class" if custom else "Plain transformers"
    return (
        f"{library} gives values in standard deviations: multiply them by {task.deviation!r}\n"
        f"and add {task.mean!r} to turn them back into the labels' own scale."
    )
