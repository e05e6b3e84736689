"""What a person sees while a run or a study is at work.

On a terminal a live line; elsewhere, as in a log, one line for each thing that is finished.
"""

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from transfuse.cli.show import span, stderr
from transfuse.errors import TransfuseError
from transfuse.evaluation import METRICS
from transfuse.study import RunKey, Watcher
from transfuse.training import Callback, StepReport
from transfuse.tuning import Stage

__all__ = ["RowProgress", "RunProgress", "StudyProgress"]

_NAMED = 3
"""Runs at work that a live line names; with more, their number says enough."""


class _Live(AbstractContextManager["_Live"]):
    """A live line that is there on a terminal only, and gone when the block ends."""

    def __init__(self, *columns: TextColumn | BarColumn | MofNCompleteColumn | TimeRemainingColumn):
        self.console: Console = stderr()
        self.bar = Progress(
            *columns, console=self.console, transient=True, disable=not self.console.is_terminal
        )

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def say(self, text: str) -> None:
        """A line that stays, above the live one."""
        self.bar.console.print(Text(text, style="dim"), soft_wrap=True)


class RunProgress(_Live, Callback):
    """Shows one run: its stage, step, loss and the time left."""

    def __init__(self) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[losses]}"),
            TimeRemainingColumn(),
        )
        self.task = self.bar.add_task("preparing", total=None, losses="")

    def on_notice(self, text: str) -> None:
        """See `Callback.on_notice`."""
        self.say(text)

    def on_stage(self, stage: Stage, index: int, stages: int, steps: int) -> None:
        """See `Callback.on_stage`."""
        what = f"stage {index + 1} of {stages}, {stage.name}" if stages > 1 else stage.name
        how = f"{steps:,} steps" if steps else "solved exactly"
        self.say(f"{what}: {how}")
        self.bar.update(self.task, description=what)

    def on_step(self, report: StepReport) -> None:
        """See `Callback.on_step`."""
        losses = "  ".join(f"{name} {value:.3f}" for name, value in report.losses.items())
        self.bar.update(self.task, total=report.steps, completed=report.step, losses=losses)

    def on_evaluation(self, step: int, scores: Mapping[str, float]) -> None:
        """See `Callback.on_evaluation`."""
        shown = ", ".join(
            f"{METRICS[name].title.lower()} {METRICS[name].show(value)}"
            for name, value in scores.items()
            if name in METRICS
        )
        self.say(f"after step {step:,}: {shown}")

    def close(self) -> None:
        """See `Callback.close`."""
        self.bar.update(self.task, description="measuring and saving", losses="")


class StudyProgress(_Live, Watcher):
    """Shows a study: how many runs are done, which are at work, and the time left.

    Runs that an earlier call has finished are counted, but tell nothing about the time left.
    """

    def __init__(self) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[running]}", style="dim"),
        )
        self.task = self.bar.add_task("runs", total=None, left="", running="")
        self.runs = self.done = self.found = 0
        self.missing: dict[RunKey, float] = {}
        self.made = 0.0
        self.began = time.monotonic()
        self.started: dict[RunKey, float] = {}

    def on_notice(self, text: str) -> None:
        """See `Watcher.on_notice`."""
        self.say(text)

    def on_begin(self, work: Mapping[RunKey, float], workers: int) -> None:
        """See `Watcher.on_begin`."""
        self.runs = runs = len(work)
        self.missing = dict(work)
        at_once = f", {workers} at a time" if workers > 1 else ""
        self.say(f"{runs} runs{at_once}")
        self.bar.update(self.task, total=runs)

    def on_run(self, key: RunKey, event: str) -> None:
        """See `Watcher.on_run`."""
        if event == "start":
            if self.found and self.found == self.done and not self.started:
                self.say(f"{self.found} of them were done before")
            if self.found == self.done and not self.started:
                self.began = time.monotonic()
            self.started[key] = time.monotonic()
        elif key in self.started:
            self._end(key, event)
        elif event == "failed":
            self.done += 1
            self.missing.pop(key, None)
            self.say(f"[{self.done}/{self.runs}] {named(key)}: not tried")
        else:
            self.found += 1
            self.done += 1
            self.missing.pop(key, None)
            if self.found == self.runs:
                self.say("all of them were done before")
        self._redraw()

    def on_failure(self, key: RunKey, error: TransfuseError) -> None:
        """See `Watcher.on_failure`."""
        for problem in error.problems:
            self.say(f"    {problem}")

    def _end(self, key: RunKey, event: str) -> None:
        self.done += 1
        self.made += self.missing.pop(key, 0.0)
        seconds = time.monotonic() - self.started.pop(key)
        line = f"[{self.done}/{self.runs}] {named(key)}: {event} after {span(seconds)}"
        if not self.console.is_terminal or event != "done":
            self.say(f"{line}, {self._left()} left" if self._left() else line)

    def _left(self) -> str:
        missing = sum(self.missing.values())
        if not self.made or not missing:
            return ""
        return f"about {span((time.monotonic() - self.began) * missing / self.made)}"

    def _redraw(self) -> None:
        running = ", ".join(named(key) for key in self.started)
        if len(self.started) > _NAMED:
            running = f"{len(self.started)} at work"
        left = f"{self._left()} left" if self._left() else ""
        self.bar.update(self.task, completed=self.done, running=running, left=left)


class RowProgress(_Live):
    """Shows how many rows of a file are done, how fast, and the time left.

    Args:
        what: What is done to them.
        rows: How many there are.
        unit: What is counted a second. Default: nothing.
    """

    def __init__(self, what: str, rows: int | None = None, unit: str = "") -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
        )
        self.task = self.bar.add_task(what, total=rows, speed="")
        self.unit = unit
        self.done = 0
        self.began: float | None = None

    def __call__(self, rows: int, total: int | None = None) -> None:
        """Some more rows are done."""
        now = time.monotonic()
        if self.began is None:
            # The first rows may have been done by an earlier call, and the model warms up on them.
            self.began = now
        else:
            self.done += rows
        self.bar.update(self.task, advance=rows, total=total, speed=self.speed(now))

    def speed(self, now: float) -> str:
        """How fast it goes, in words; empty as long as nobody can know.

        Args:
            now: The time, as `time.monotonic` gives it.
        """
        if not self.unit or self.began is None or not self.done or now <= self.began:
            return ""
        return f"{self.done / (now - self.began):,.0f} {self.unit}/s"


def named(key: RunKey) -> str:
    """A run in words."""
    labels = f"{key.budget:,} labels" if key.budget else "no target labels"
    task = f" on {key.task}" if key.task else ""
    return f"{key.recipe}{task}, {labels}, seed {key.seed}"
