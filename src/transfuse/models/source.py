"""A model folder opened for reading: config, tokenizer, and weights that are checked."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoTokenizer

from transfuse._hub_config import TransfuseConfig
from transfuse.errors import ModelError, Problem
from transfuse.models.find import fetch_model, pooling_in, transformer_folder, weights_in
from transfuse.models.quiet import quiet_loading

__all__ = ["Attention", "Source", "open_source", "pretrained", "seeded"]

_TOKENIZER_FILES = ("tokenizer.json", "vocab*", "*.model", "*.spm")

Attention = Literal["auto", "sdpa", "eager"]


@dataclass(frozen=True)
class Source:
    """A model folder, opened as far as its config and its tokenizer.

    Args:
        folder: The folder with the transformer's files.
        config: Its config.
        tokenizer: Its tokenizer.
        top: The folder that was named; it may say how to pool.
        options: Keywords for `from_pretrained`.
    """

    folder: Path
    config: Any
    tokenizer: Any
    top: Path
    options: dict[str, Any]

    def pooling(self, wanted: str) -> str:
        """The pooling to use.

        Args:
            wanted: `mean`, `cls`, `last`, `native` or `auto`.

        Returns:
            One of the first four.
        """
        if wanted != "auto":
            return wanted
        if isinstance(self.config, TransfuseConfig):
            return self.config.pooling.replace("pooler", "native")
        asked = pooling_in(self.top)
        if asked is None and self.config.is_encoder_decoder:
            # Its encoder was never trained to sum a text up in one token.
            return "mean"
        return asked or "native"


def open_source(
    name: str | Path,
    *,
    attention: Attention = "auto",
    dtype: torch.dtype = torch.float32,
    allow_pickle: bool = False,
) -> Source:
    """Opens a model's config and tokenizer, and checks that its weights are safe to read.

    Args:
        name: A folder, an installed package that carries a model, or a hub id.
        attention: How attention is computed. Default `auto`: transformers' choice.
        dtype: Number type of the weights. Default float32.
        allow_pickle: Whether pickled weights may be read, with torch's restricted reader.
            Default False.

    Returns:
        The opened folder.

    Raises:
        ModelError: If a part is missing or cannot be read.
    """
    top = fetch_model(name)
    folder = transformer_folder(top)
    safe = weights_in(folder, allow_pickle=allow_pickle)
    with _explained(folder, "config.json"), quiet_loading():
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    _check_tokenizer(folder)
    with _explained(folder, "the tokenizer"), quiet_loading():
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    options: dict[str, Any] = {
        "dtype": dtype,
        "use_safetensors": safe,
        # Never ask, and never run, a program that came with a model.
        "trust_remote_code": False,
    }
    if attention != "auto":
        options["attn_implementation"] = attention
    return Source(folder, config, tokenizer, top, options)


def pretrained(
    kind: Any,
    source: Source,
    *,
    seed: int = 0,
    may_lack: tuple[str, ...] = (),
    **options: Any,
) -> tuple[Any, frozenset[str]]:
    """Reads a model's weights.

    Args:
        kind: A class with `from_pretrained`.
        source: The opened folder.
        seed: Seed for parameters that the folder does not hold, such as a new head's. Default 0.
        may_lack: How names of the backbone's parameters begin that a new head brings with it.
            Default: none.
        **options: Further keywords for `from_pretrained`.

    Returns:
        The model, and the names of its parameters that the folder does not hold: those of a head
        or of a pooler.

    Raises:
        ModelError: If weights of the backbone are missing, of the wrong shape or unreadable.
    """
    with _explained(source.folder, "the weights"), quiet_loading(), seeded(seed):
        model, report = kind.from_pretrained(
            source.folder,
            output_loading_info=True,
            # The config was read once and may have been given labels since.
            config=source.config,
            **source.options,
            **options,
        )
    prefix = f"{model.base_model_prefix}."
    is_backbone = not hasattr(model, model.base_model_prefix)
    fresh = frozenset(report["missing_keys"]) | {key for key, *_ in report["mismatched_keys"]}
    lost = sorted(
        key
        for key in fresh
        if (is_backbone or key.startswith(prefix))
        # The decoder of an encoder-decoder is not used.
        and not key.removeprefix(prefix).startswith(("pooler.", "decoder.", *may_lack))
    )
    if lost:
        raise ModelError(
            Problem(
                str(source.folder),
                f"the weights lack {len(lost)} of the model's parameters, first {lost[0]!r}",
                "weights that belong to config.json",
            )
        )
    return model, fresh


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's generator seeded inside, and as it was afterwards.

    Args:
        seed: The seed.

    Yields:
        Nothing.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _check_tokenizer(folder: Path) -> None:
    # transformers makes up an empty tokenizer where it finds none.
    if not any(path for name in _TOKENIZER_FILES for path in folder.glob(name)):
        raise ModelError(
            Problem(str(folder), "there is no tokenizer beside the model", "a tokenizer.json")
        )


@contextmanager
def _explained(folder: Path, part: str) -> Iterator[None]:
    try:
        yield
    except UnpicklingError:
        raise ModelError(
            Problem(
                str(folder),
                "its pickled weights hold more than tensors, so they may hold a program",
                "model.safetensors",
                "Use weights from a source that you trust, as safetensors.",
            )
        ) from None
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(Problem(str(folder), f"{part} cannot be read: {said}")) from error
