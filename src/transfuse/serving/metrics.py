"""What Prometheus is told, in a registry of the app's own."""

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

__all__ = ["Metrics"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The counters of one server."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "transfuse_requests",
            "Requests by path and status.",
            ("path", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "transfuse_request_seconds",
            "Seconds from a request's head to its response.",
            ("path",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._rejected = Counter(
            "transfuse_rejected",
            "Requests that were turned away, by reason.",
            ("reason",),
            registry=self._registry,
        )
        self._texts = Counter(
            "transfuse_texts", "Texts that models have read.", ("model",), registry=self._registry
        )
        self._batches = Histogram(
            "transfuse_batch_texts",
            "Texts that a model read at once.",
            ("model",),
            buckets=_TEXTS,
            registry=self._registry,
        )
        self._queued = Gauge(
            "transfuse_queued_texts",
            "Texts that wait for a model.",
            ("model",),
            registry=self._registry,
        )

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a request.

        Args:
            path: The path as the app declares it, so that there are only so many.
            status: The status of the response.
            seconds: How long it took.
        """
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def rejected(self, reason: str) -> None:
        """Count a request that was turned away.

        Args:
            reason: Why, in a word.
        """
        self._rejected.labels(reason).inc()

    def of_model(self, model: str, queued: Callable[[], int]) -> Callable[[int], None]:
        """Watch a model.

        Args:
            model: Its name.
            queued: How many texts wait for it.

        Returns:
            What is to be told of the size of each batch.
        """
        self._queued.labels(model).set_function(queued)
        texts, batches = self._texts.labels(model), self._batches.labels(model)

        def batch(size: int) -> None:
            texts.inc(size)
            batches.observe(size)

        return batch

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)
