"""One model at work: its threads, its queue, and what it says of itself."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from transfuse.answering import ModelFolder, load_model
from transfuse.answering.exported import ExportedModel
from transfuse.answering.prediction import Prediction
from transfuse.data import Role
from transfuse.errors import ModelError, Problem
from transfuse.models import Network, probe_engine
from transfuse.serving.answers import Answers, row_bytes
from transfuse.serving.batcher import Batcher, FullError
from transfuse.serving.options import Serving
from transfuse.serving.schemas import ModelInfo

if TYPE_CHECKING:
    from transfuse.explaining import Explanation

__all__ = ["Hosted"]

Method = Literal["occlusion", "integrated_gradients"]

_WARM_UP = ("a", "A text of the length that people write.", "word " * 100)


class Hosted:
    """A model of a server: loading, then ready.

    Several threads answer at a time, each with one thread of torch or of the runtime: two batches
    side by side take less than one after the other on two threads, and threads that need not meet
    after every product lose nothing where the machine has other work. A network of ours is shared
    by all of them, an exported graph is opened once for each. What else a folder can hold has one
    thread, and divides its work itself.

    Args:
        name: What requests call it.
        folder: Its folder.
        options: How requests are gathered.
    """

    def __init__(self, name: str, folder: Path, options: Serving) -> None:
        self.name = name
        self.folder = folder
        self._options = options
        self._model: ModelFolder | None = None
        self._copies: list[ModelFolder] = []
        self._own = threading.local()
        self._batcher: Batcher[Prediction] | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._arithmetic = ExitStack()
        self._explanations = 0

    @property
    def ready(self) -> bool:
        """Whether it is loaded and warmed up."""
        return self._batcher is not None

    @property
    def model(self) -> ModelFolder:
        """The opened folder; only of a model that is ready."""
        assert self._model is not None
        return self._model

    @property
    def queued(self) -> int:
        """Texts that wait."""
        return self._batcher.queued if self._batcher else 0

    def info(self) -> ModelInfo:
        """What it says of itself."""
        if self._model is None or not self.ready:
            return ModelInfo(name=self.name, ready=False)
        task, card = self._model.task, self._model.scorecard
        measured = card.metrics.get(task.primary)
        return ModelInfo(
            name=self.name,
            ready=True,
            reads=[str(role) for role in self._model.reads],
            task=task.kind,
            labels=list(task.label_names) if task.kind != "regression" else [],
            metric=task.primary if measured is not None else None,
            measured=measured,
            test_rows=card.rows,
        )

    async def load(self, watch: Callable[[int], None]) -> None:
        """Open the folder and answer a few texts, in threads of its own.

        Args:
            watch: Told of the number of texts of each batch.

        Raises:
            ModelError: If the folder holds no model that can be used.
        """
        loop = asyncio.get_running_loop()
        self._copies = await loop.run_in_executor(None, self._open)
        self._model = self._copies[0]
        threads = len(self._copies)
        each = max(1, self._options.threads_used // threads)
        self._executor = ThreadPoolExecutor(threads, f"transfuse-{self.name}", self._begin, (each,))
        # The first alone: what a network answers with is made when it is first asked.
        await loop.run_in_executor(self._executor, self._answer, self._warming)
        all_here = threading.Barrier(threads)
        warmed = [
            loop.run_in_executor(self._executor, self._warm_up, all_here) for _ in range(threads)
        ]
        await asyncio.gather(*warmed)
        self._batcher = Batcher(
            self._answer,
            self._executor,
            threads=threads,
            max_batch=self._options.max_batch,
            latency=self._options.latency_ms / 1000,
            queue=self._options.queue,
            patience=self._options.wait_seconds,
            weigh=row_bytes,
            watch=watch,
        )

    def _open(self) -> list[ModelFolder]:
        """The model, once for each thread."""
        engine = probe_engine(threads=1)
        model = load_model(self.folder, engine)
        if model.reads not in ((Role.TEXT,), (Role.IMAGE,)):
            what = f"reads {', '.join(model.reads)}"
            expected = "a model that reads one column of texts or of pictures"
            raise ModelError(
                Problem(str(self.folder), what, expected, "`transfuse predict` answers its files.")
            )
        threads = self._options.threads_used
        if isinstance(model.model, Network):
            # Set before the copy that answers is made, and for as long as it does: an arithmetic
            # that each batch sets and undoes would change under the batches beside it.
            self._arithmetic.enter_context(engine.apply(model.model))
            return [model] * threads
        if isinstance(model.model, ExportedModel):
            return [model, *(load_model(self.folder, engine) for _ in range(threads - 1))]
        return [model]

    def _begin(self, torch_threads: int) -> None:
        """A thread's first act."""
        torch.set_num_threads(torch_threads)
        self._own.answers = Answers(self._copies.pop())

    def _warm_up(self, all_here: threading.Barrier) -> None:
        # A pool starts a thread only when all others are busy.
        all_here.wait()
        self._answer(self._warming)

    @property
    def reads_pictures(self) -> bool:
        """Whether it reads pictures, and not texts."""
        return self.model.reads == (Role.IMAGE,)

    @property
    def _warming(self) -> Sequence[Any]:
        """Rows that it answers before it takes on work."""
        if not self.reads_pictures:
            return _WARM_UP
        from PIL import Image

        return [Image.new("RGB", (256, 256), colour) for colour in ("black", "grey", "white")]

    def _answer(self, rows: Sequence[Any]) -> list[Prediction]:
        answers: Answers = self._own.answers
        return answers(rows)

    async def answer(self, rows: list[Any]) -> list[Prediction]:
        """The answer to each row.

        Args:
            rows: Texts, or pictures.

        Raises:
            DataError: For pictures that cannot be decoded.
            FullError: If they find no room in the queue.
            StoppedError: If the server takes on no more.
        """
        assert self._batcher is not None
        return await self._batcher.answer(rows)

    async def explain(self, text: str, label: str | None, method: Method) -> "Explanation":
        """What drove an answer.

        Args:
            text: The text.
            label: The label to explain. None: the one that the model answers.
            method: `occlusion` or `integrated_gradients`.

        Returns:
            The explanation of the text as the model read it.

        Raises:
            FullError: If too many wait for an explanation.
            StoppedError: If the server takes on no more.
            ModelError: If this model's answers cannot be explained so.
        """
        assert self._batcher is not None
        if self._explanations >= self._options.explanations:
            raise FullError(self._batcher.wait_for(100 * self._explanations))
        self._explanations += 1
        try:
            return await self._batcher.run(lambda: self._explain(text, label, method))
        finally:
            self._explanations -= 1

    def _explain(self, text: str, label: str | None, method: Method) -> "Explanation":
        from transfuse.explaining import explain

        answers: Answers = self._own.answers
        (mended,) = answers.mended([text])
        # Explaining may hook into the model, which two at a time must not; `run` sees to that.
        seconds = self._options.explain_seconds
        return explain(answers.model, mended, label=label, method=method, seconds=seconds)

    async def drain(self) -> None:
        """Take on no more and finish what was taken on."""
        if self._batcher is not None:
            await self._batcher.drain()

    async def close(self) -> None:
        """Let go of the threads."""
        if self._batcher is not None:
            await self._batcher.close()
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
        self._arithmetic.close()
