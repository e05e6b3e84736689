"""What watches a study."""

from transfuse.study.jobs import RunKey

__all__ = ["Watcher"]


class Watcher:
    """Base of watchers: every hook does nothing."""

    def on_notice(self, text: str) -> None:
        """Something a person wants to know."""

    def on_begin(self, runs: int, workers: int) -> None:
        """The runs begin.

        Args:
            runs: How many there are, finished ones included.
            workers: Processes at work.
        """

    def on_run(self, key: RunKey, event: str) -> None:
        """A run is at `start`, `done` or `failed`."""
