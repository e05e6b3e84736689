"""What can be set about serving."""

import os
from dataclasses import dataclass, fields

__all__ = ["Serving", "cores"]


def cores() -> int:
    """The number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Serving:
    """How requests are gathered, and what a request may ask for.

    Raises:
        ValueError: For a number that is not above 0 (a `latency_ms` below 0), or a queue that is
            shorter than one request may be.
    """

    max_batch: int = 32
    """Texts that a model reads at once at the most. Default: 32."""

    latency_ms: float = 10.0
    """Milliseconds that a text may wait for others while the server is busy; an idle server
    answers at once. Default: 10."""

    queue: int = 512
    """Texts that may wait for a model; beyond them requests are turned away with 429.
    Default: 512."""

    wait_seconds: float = 2.0
    """Seconds that a text may have to wait for its turn, by the measured rate; beyond them requests
    are turned away with 429, too. Default: 2."""

    max_body: int = 1_048_576
    """Bytes of a request's body at the most. Default: 1,048,576."""

    max_texts: int = 256
    """Texts of one request at the most. Default: 256."""

    max_characters: int = 20_000
    """Characters of one text at the most. Default: 20,000."""

    max_image_body: int = 16_777_216
    """Bytes of the body of a request with pictures at the most. Default: 16,777,216."""

    max_images: int = 16
    """Pictures of one request at the most, and never more than `queue`. Default: 16."""

    max_pixels: int = 50_000_000
    """Pixels that a picture may claim to have; it is refused before it is decoded.
    Default: 50,000,000."""

    max_image_requests: int = 16
    """Requests with pictures that may be held at a time, since each takes memory; beyond them
    requests are turned away with 429. Default: 16."""

    threads: int | None = None
    """Processor threads that the answers of a model use. Default: as many as there are cores."""

    explanations: int = 4
    """Explanations that may wait for a model, since each costs as much as many answers.
    Default: 4."""

    explain_seconds: float = 10.0
    """Seconds that one explanation may take; then it is given up, so that answers which wait behind
    it are not held up for longer. Default: 10."""

    connections: int = 1000
    """Connections that may be open at a time; further ones get 503 and are closed.
    Default: 1,000."""

    receive_seconds: float = 20.0
    """Seconds within which a request must have arrived, its head and its body each.
    Default: 20."""

    drain_seconds: int = 20
    """Seconds that a server which was told to stop goes on answering what it has taken on.
    Default: 20."""

    def __post_init__(self) -> None:
        for option in fields(self):
            value = getattr(self, option.name)
            least_is_zero = option.name == "latency_ms"
            if value is not None and not (value >= 0 if least_is_zero else value > 0):
                bound = "at least 0" if least_is_zero else "above 0"
                raise ValueError(f"{option.name} must be {bound}, got {value}")
        if self.queue < self.max_texts:
            raise ValueError(
                f"queue must hold a request of max_texts texts, got {self.queue} and "
                f"{self.max_texts}"
            )

    @property
    def threads_used(self) -> int:
        """`threads`, or the number of cores."""
        return self.threads or cores()
