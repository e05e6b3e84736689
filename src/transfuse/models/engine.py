"""The arithmetic that is fastest on the machine at hand without changing the answer.

Chips differ: 16-bit numbers triple the speed of one and cost another a factor of a hundred. So a
small model with random weights is timed once, in about two seconds, and the choice is kept.
"""

import json
import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from transfuse.cache import cache_dir
from transfuse.models.probing import measure

__all__ = ["Engine", "Job", "probe_engine"]

Job = Literal["encode", "train"]
"""What an engine is for: inference, or training with weights that stay in 32 bits."""


@dataclass(frozen=True)
class Engine:
    """One way to do a model's arithmetic. The defaults are plain 32-bit torch.

    Args:
        dtype: Number type of the weights, or of the products under autocast. Default float32.
        matmul_precision: torch's `float32_matmul_precision`. Default `highest`.
        attention: `sdpa` or `eager`. Default `sdpa`.
        autocast: Whether weights stay as they are and torch casts the operands. Default False.
        speedup: How much faster than plain arithmetic it was measured to be. Default 1.
    """

    dtype: torch.dtype = torch.float32
    matmul_precision: Literal["highest", "high", "medium"] = "highest"
    attention: Literal["sdpa", "eager"] = "sdpa"
    autocast: bool = False
    speedup: float = field(default=1.0, compare=False, repr=False)

    @contextmanager
    def apply(self, *modules: nn.Module) -> Iterator[None]:
        """Uses this arithmetic inside; afterwards all is as it was.

        Casting weights to `dtype` without autocast is the caller's part (`copied_as`), since it
        takes a copy.

        Args:
            *modules: Networks or encoders whose attention is switched as well, where their
                architecture has it.

        Yields:
            Nothing.
        """
        with ExitStack() as undo:
            undo.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
            torch.set_float32_matmul_precision(self.matmul_precision)
            for part in (part for module in modules for part in module.modules()):
                now = getattr(part, "attention", None)
                if isinstance(now, str) and callable(part.set_attention):
                    undo.callback(part.set_attention, now)
                    part.set_attention(self.attention)
            if self.autocast:
                device = next((p.device.type for m in modules for p in m.parameters()), "cpu")
                undo.enter_context(torch.autocast(device, dtype=self.dtype))
            yield

    def describe(self) -> str:
        """One line for people, for instance `bfloat16 weights, eager attention (3.1× plain)`."""
        kind = str(self.dtype).removeprefix("torch.")
        numbers = f"{kind} autocast" if self.autocast else f"{kind} weights"
        if self.matmul_precision != "highest":
            numbers += f" with {self.matmul_precision} matrix products"
        return f"{numbers}, {self.attention} attention ({self.speedup:.1f}× plain float32)"

    def to_json(self) -> dict[str, Any]:
        """Its fields as JSON types, for caches and records."""
        fields = dict(vars(self))
        fields["dtype"] = str(self.dtype).removeprefix("torch.")
        return fields

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Engine":
        """The inverse of `to_json`.

        Args:
            fields: What `to_json` gave.

        Returns:
            The engine.
        """
        return cls(**{**fields, "dtype": getattr(torch, fields["dtype"])})


_CANDIDATES: dict[Job, tuple[Engine, ...]] = {
    "encode": (
        Engine(),
        Engine(matmul_precision="medium", attention="eager"),
        Engine(dtype=torch.bfloat16, attention="eager"),
        Engine(dtype=torch.bfloat16),
    ),
    "train": (
        Engine(),
        Engine(matmul_precision="medium", attention="eager"),
        Engine(dtype=torch.bfloat16, attention="eager", autocast=True),
        Engine(dtype=torch.bfloat16, autocast=True),
    ),
}


def probe_engine(
    job: Job = "encode", *, cache: Path | None = None, threads: int | None = None
) -> Engine:
    """The fastest arithmetic for a job on this machine's processor.

    The first call takes about two seconds; its answer is kept by processor, torch version and
    number of threads.

    Args:
        job: `encode` or `train`. Default `encode`.
        cache: Folder of the kept answers. Default: `engine` in the cache folder.
        threads: Number of torch threads. Default: as many as torch uses now.

    Returns:
        The engine; plain arithmetic unless another is at least a tenth faster and agrees with it.
    """
    threads = threads or torch.get_num_threads()
    machine = {
        "processor": _processor(),
        "torch": torch.__version__,
        "threads": threads,
        "job": job,
        "candidates": [engine.to_json() for engine in _CANDIDATES[job]],
    }
    key = blake2b(json.dumps(machine, sort_keys=True).encode(), digest_size=8).hexdigest()
    folder = cache_dir() / "engine" if cache is None else cache
    kept = _read(folder / f"{job}-{key}.json")
    if kept is not None:
        return kept
    fastest = measure(_CANDIDATES[job], training=job == "train", threads=threads)
    _write(folder / f"{job}-{key}.json", fastest, machine)
    return fastest


def _processor() -> str:
    """What tells this processor from another; virtual machines often share a name."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return f"{platform.machine()} {platform.processor()}"
    wanted = ("vendor_id", "cpu family", "model", "stepping", "flags", "Features", "CPU part")
    first = info.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    return "\n".join(line for line in first.splitlines() if line.startswith(wanted))


def _read(path: Path) -> Engine | None:
    try:
        return Engine.from_json(json.loads(path.read_text(encoding="utf-8"))["engine"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # Absent, or written by a version that kept something else: measure again.
        return None


def _write(path: Path, engine: Engine, machine: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"engine": engine.to_json(), "machine": machine}, indent=1)
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, suffix=".partial", delete=False
    ) as file:
        file.write(text)
    os.replace(file.name, path)  # noqa: PTH105 - atomic, on every system
