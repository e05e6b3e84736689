"""What watches a study."""

from collections.abc import Mapping

from transfuse.errors import TransfuseError
from transfuse.study.runs import RunKey

__all__ = ["Watcher"]


class Watcher:
    """Base of watchers: every hook does nothing."""

    def on_notice(self, text: str) -> None:
        """Something a person wants to know."""

    def on_begin(self, work: Mapping[RunKey, float], workers: int) -> None:
        """The runs begin.

        Args:
            work: Every run, finished ones included, and its share of the work on any scale.
            workers: Processes at work.
        """

    def on_run(self, key: RunKey, event: str) -> None:
        """A run is at `start`, `done` or `failed`; one that is not tried fails without a start."""

    def on_failure(self, key: RunKey, error: TransfuseError) -> None:
        """Why a run has failed; the others go on."""
