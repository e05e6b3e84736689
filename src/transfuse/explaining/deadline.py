"""A bound on the time of an explanation, for a caller who has others to answer."""

import time

from transfuse.errors import ModelError, Problem

__all__ = ["Deadline"]


class Deadline:
    """Says when the time is over.

    Args:
        seconds: How long from now; None for as long as it takes.
        what: What is explained. Default: text.
    """

    def __init__(self, seconds: float | None, what: str = "text") -> None:
        self.seconds = seconds
        self.what = what
        self._ends = None if seconds is None else time.monotonic() + seconds

    def check(self) -> None:
        """Go on, or not.

        Raises:
            ModelError: If the time is over.
        """
        if self._ends is not None and time.monotonic() > self._ends:
            raise ModelError(
                Problem(
                    self.what,
                    f"its explanation takes more than {self.seconds:g} seconds",
                    fix=f"Send a {'shorter' if self.what == 'text' else 'smaller'} {self.what}.",
                )
            )
