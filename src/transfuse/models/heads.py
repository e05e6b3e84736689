"""From encoded rows to logits: a linear layer, or the architecture's own classification head."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, cast

import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions

from transfuse.models.encoder import Batch, Encoded

__all__ = ["Head", "LinearHead", "NativeHead", "ProblemType", "label_names"]

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]


def label_names(config: Any) -> tuple[str, ...]:
    """The names of a classifier's outputs in their order.

    Args:
        config: A transformers config.

    Returns:
        Its `id2label` as a tuple.
    """
    return tuple(str(config.id2label[place]) for place in sorted(config.id2label))


class Head(nn.Module, ABC):
    """Turns encoded rows into logits.

    Attributes:
        outputs: Number of logits per row.
        labels: Name of each output; None where nobody named them.
        problem_type: What the logits are, in transformers' words; None where nobody said.
        deep: Whether it is a network of its own, for which a linear layer's rate is too high.
        exact: Whether it stays in 32 bits where the encoder is in 16, since it costs nothing
            beside it and its answers would be coarse, or since it does not run in 16.
    """

    deep: bool = False
    exact: bool = False
    outputs: int
    labels: tuple[str, ...] | None
    problem_type: ProblemType | None

    @abstractmethod
    def forward(self, encoded: Encoded, batch: Batch) -> torch.Tensor:
        """Logits of encoded rows.

        Args:
            encoded: What the encoder or the fusion made; `tokens` may be None.
            batch: The batch it was made from.

        Returns:
            Logits [n, outputs].
        """

    @property
    @abstractmethod
    def linear(self) -> nn.Linear | None:
        """The linear layer that is the whole head apart from dropout; None for other heads.

        A solver for logistic regression may set its weights directly.
        """

    @abstractmethod
    def reset(self, seed: int) -> None:
        """Draw fresh weights, in place: nothing that was learnt stays.

        Args:
            seed: Seed of the fresh weights.
        """


class LinearHead(Head):
    """Dropout and one linear layer on the pooled vector.

    Args:
        dim: Length of the pooled vector.
        outputs: Number of logits.
        dropout: Share of the vector's entries dropped in training. Default 0.
        seed: Seed of the initial weights, normal with standard deviation 0.02; the bias starts
            at 0. Default 0.
        labels: Name of each output. Default: not named.
        problem_type: What the logits are. Default: not said.

    Raises:
        ValueError: If there are not as many labels as outputs.
    """

    exact = True

    def __init__(
        self,
        dim: int,
        outputs: int,
        dropout: float = 0.0,
        seed: int = 0,
        *,
        labels: Sequence[str] | None = None,
        problem_type: ProblemType | None = None,
    ) -> None:
        super().__init__()
        if labels is not None and len(labels) != outputs:
            raise ValueError(f"expected {outputs} labels, got {len(labels)}: {list(labels)}")
        self.outputs = outputs
        self.labels = None if labels is None else tuple(labels)
        self.problem_type = problem_type
        self.dropout = nn.Dropout(dropout)
        self.classifier: nn.Linear = nn.utils.skip_init(nn.Linear, dim, outputs)
        self.reset(seed)

    def forward(self, encoded: Encoded, batch: Batch) -> torch.Tensor:
        """See `Head.forward`."""
        pooled = encoded.pooled
        # A mean is summed in 32 bits whatever the encoder's type, autocast aside.
        if not torch.is_autocast_enabled(pooled.device.type):
            pooled = pooled.to(self.classifier.weight.dtype)
        logits: torch.Tensor = self.classifier(self.dropout(pooled))
        return logits

    @property
    def linear(self) -> nn.Linear | None:
        """See `Head.linear`."""
        return self.classifier

    def reset(self, seed: int) -> None:
        """See `Head.reset`; the weights are those that the constructor draws from this seed."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.classifier.weight.normal_(0.0, 0.02, generator=generator)
            self.classifier.bias.zero_()


class _StandIn(nn.Module):
    """Takes the backbone's place inside a classification model and answers what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.encoded: Encoded | None = None

    def forward(self, *_args: Any, **_kwargs: Any) -> BaseModelOutputWithPoolingAndCrossAttentions:
        if self.encoded is None:
            raise RuntimeError("the classification model was called other than through its head")
        return BaseModelOutputWithPoolingAndCrossAttentions(
            last_hidden_state=self.encoded.tokens, pooler_output=self.encoded.pooled
        )


class NativeHead(Head):
    """The head of an `AutoModelForSequenceClassification` model, whatever its architecture.

    The model's backbone moves into the encoder and a stand-in takes its place, which hands the
    encoder's output to the model's own code. So a folder saved from it loads in plain
    transformers and gives the same probabilities.

    Args:
        model: The classification model; its backbone is taken out.

    Raises:
        ValueError: If the model keeps its backbone under no name of its own.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        name = model.base_model_prefix
        if not isinstance(getattr(model, name, None), nn.Module):
            raise ValueError(f"{type(model).__name__} has no backbone under {name!r}")
        config = model.config
        self.outputs = int(config.num_labels)
        self.labels = label_names(config)
        self.problem_type = cast(ProblemType | None, config.problem_type)
        self.stand_in = _StandIn()
        setattr(model, name, self.stand_in)
        self.model = model

    @staticmethod
    def split(model: Any) -> tuple[nn.Module, "NativeHead"]:
        """Takes a classification model apart.

        Args:
            model: The model.

        Returns:
            Its backbone and its head.
        """
        backbone: nn.Module = getattr(model, model.base_model_prefix)
        return backbone, NativeHead(model)

    def forward(self, encoded: Encoded, batch: Batch) -> torch.Tensor:
        """See `Head.forward`; with `tokens` None every row is one token, the pooled vector."""
        ids = batch.get("input_ids")
        tokens, mask = encoded.tokens, encoded.mask
        if tokens is None or mask is None:
            tokens, ids = encoded.pooled[:, None], None
            mask = torch.ones(tokens.shape[:2], dtype=torch.int64, device=tokens.device)
        if ids is None:
            # Decoders look for the last id that is not padding.
            pad = self.model.config.get_text_config().pad_token_id
            word = 1 if pad == 0 else 0
            ids = torch.where(mask.bool(), word, 0 if pad is None else pad)
        self.stand_in.encoded = Encoded(encoded.pooled, tokens, mask)
        try:
            logits: torch.Tensor = self.model(input_ids=ids, attention_mask=mask).logits
        finally:
            self.stand_in.encoded = None
        return logits

    @property
    def linear(self) -> nn.Linear | None:
        """See `Head.linear`."""
        layers = [part for part in self.model.modules() if list(part.parameters(recurse=False))]
        only = layers[0] if len(layers) == 1 else None
        return only if isinstance(only, nn.Linear) else None

    def reset(self, seed: int) -> None:
        """See `Head.reset`; each layer is drawn as torch draws a new one of its kind."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for part in self.model.modules():
                if callable(draw := getattr(part, "reset_parameters", None)):
                    draw()

    @contextmanager
    def whole(self, backbone: nn.Module) -> Iterator[Any]:
        """The classification model with its backbone back in place, for saving it.

        Args:
            backbone: The backbone, out of the encoder.

        Yields:
            The model.
        """
        setattr(self.model, self.model.base_model_prefix, backbone)
        try:
            yield self.model
        finally:
            setattr(self.model, self.model.base_model_prefix, self.stand_in)
