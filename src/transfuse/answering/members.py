"""Models within a model: how their folders are kept, and how their labels are brought together."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from transfuse.answering.base import Kept, Member, Open
from transfuse.errors import ModelError, Problem
from transfuse.models import Feeds, Inference, Network, read_inputs
from transfuse.tasks import Classification, MultiLabel, Task

__all__ = [
    "Opened",
    "aligned_scores",
    "common_task",
    "confidence_of",
    "names_of",
    "open_members",
    "parameters_of",
    "save_members",
    "vectors_of",
]

_MEMBERS = "members"


@runtime_checkable
class Opened(Member, Protocol):
    """An opened model folder, as what is made of several needs it."""

    @property
    def head(self) -> str:
        """Which of its tasks it answers for."""

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The recipe that it comes from."""

    @property
    def model(self) -> Kept:
        """The model itself."""

    @property
    def inference(self) -> Inference | None:
        """The network ready to answer; None for a model that is none of ours."""

    def of_task(self, name: str) -> "Opened":
        """The same model answering for another of its tasks."""


def common_task(members: Sequence[Member]) -> Task:
    """The task that several members answer together.

    Args:
        members: At least one. Their classes may stand in any order and be only partly the same;
            the labels of a multi-label task must be the same, in any order.

    Returns:
        The first member's task; its classes come first, then those that only others know.

    Raises:
        ModelError: If they answer tasks of different kinds, or multi-label tasks of different
            labels.
    """
    task = members[0].task
    problems = []
    for place, member in enumerate(members[1:], start=2):
        where, other = f"model {place}, {member.path}", member.task
        if other.kind != task.kind:
            problems.append(Problem(where, f"does {other.kind}", f"{task.kind}, as the first"))
        elif task.kind == "multilabel" and set(other.label_names) != set(task.label_names):
            # A label that a member has never heard of is not one that it says no to.
            odd = ", ".join(map(repr, sorted(set(other.label_names) ^ set(task.label_names))[:5]))
            problems.append(Problem(where, f"only one of it and the first knows {odd}"))
    if problems:
        raise ModelError(problems)
    if isinstance(task, Classification | MultiLabel):
        names = dict.fromkeys(name for member in members for name in member.task.label_names)
        return replace(task, labels=tuple(names))
    return task


def aligned_scores(
    scores: NDArray[np.float64], own: Sequence[str], labels: Sequence[str]
) -> NDArray[np.float64]:
    """A member's scores in the order of all labels; 0 for those that it does not know.

    Args:
        scores: [n, own labels].
        own: The member's labels.
        labels: All labels; the member's are among them.

    Returns:
        [n, labels].
    """
    if tuple(own) == tuple(labels):
        return scores
    found = np.zeros((len(scores), len(labels)))
    place = {name: column for column, name in enumerate(labels)}
    found[:, [place[name] for name in own]] = scores
    return found


def confidence_of(kind: str, scores: NDArray[Any]) -> NDArray[np.float64]:
    """How sure an answer is, [n]: the probability of the class, or of the least certain label.

    Args:
        kind: `classification` or `multilabel`.
        scores: [n, outputs].
    """
    wide = np.asarray(scores, dtype=np.float64)
    if kind == "multilabel":
        least: NDArray[np.float64] = np.maximum(wide, 1 - wide).min(axis=1, initial=1.0)
        return least
    most: NDArray[np.float64] = wide.max(axis=1, initial=0.0)
    return most


def names_of(members: Sequence[Opened]) -> tuple[str, ...]:
    """What messages and reports call members: their recipes' names, each one once.

    Args:
        members: Opened model folders.
    """
    names: list[str] = []
    for member in members:
        name = str(member.recipe.get("name") or member.path.name)
        count = sum(known == name or known.startswith(f"{name} (") for known in names)
        names.append(f"{name} ({count + 1})" if count else name)
    return tuple(names)


def parameters_of(members: Sequence[Opened]) -> int:
    """The parameters of all members; a folder that stands in several places counts once."""
    models = {str(member.path.resolve()): member.model for member in members}
    return sum(
        sum(weight.numel() for weight in model.parameters())
        if isinstance(model, Network)
        else model.parameters
        for model in models.values()
    )


def vectors_of(member: Opened, rows: Sequence[Any]) -> NDArray[np.float64]:
    """The vector that a network's head reads, for each row, [n, d].

    Args:
        member: An opened model folder.
        rows: The rows, as `Table.inputs` gives them for what the member reads.

    Raises:
        ModelError: If it is no network.
    """
    if not isinstance(member.model, Network) or member.inference is None:
        raise ModelError(
            Problem(
                f"model 1, {member.path}",
                f"is a {type(member.model).__name__}, which has no vectors",
                "a network that comes first",
            )
        )
    feed = Feeds(member.model).feed(read_inputs(member.model.encoder, rows))
    found: NDArray[np.float64] = member.inference.features(feed).double().numpy()
    return found


def save_members(members: Sequence[Opened], folder: Path) -> list[dict[str, str]]:
    """Copy the members' folders into `members/NN`, each folder once.

    Files are hard links where the file system allows it, so that a copy costs no space; a folder
    that is sent elsewhere holds all it needs.

    Args:
        members: The members.
        folder: The folder of what is made of them, which is there.

    Returns:
        The subfolder and the head of each member, for `open_members`.
    """
    numbers: dict[Path, str] = {}
    for member in members:
        path = member.path.resolve()
        if path not in numbers:
            numbers[path] = f"{len(numbers):02d}"
            shutil.copytree(path, folder / _MEMBERS / numbers[path], copy_function=_link)
    return [{"folder": numbers[member.path.resolve()], "head": member.head} for member in members]


def open_members(
    folder: Path, told: Sequence[Mapping[str, Any]], open_member: Open
) -> tuple[Opened, ...]:
    """Open what `save_members` kept; a folder that stands in several places is opened once.

    Args:
        folder: The folder of what is made of them.
        told: What `save_members` gave.
        open_member: Opens a folder.
    """
    folders: dict[str, Opened] = {}
    for each in told:
        if each["folder"] not in folders:
            opened = open_member(folder / _MEMBERS / each["folder"])
            if not isinstance(opened, Opened):
                raise TypeError(f"{type(opened).__name__} is no opened model folder")
            folders[each["folder"]] = opened
    members = []
    for each in told:
        member = folders[each["folder"]]
        members.append(member if member.head == each["head"] else member.of_task(each["head"]))
    return tuple(members)


def _link(source: str, target: str) -> None:
    """A second name for the same file, or a copy where there cannot be one."""
    file = Path(source).resolve()  # never a link to a symbolic link
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)
