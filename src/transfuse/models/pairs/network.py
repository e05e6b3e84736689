"""A network with towers, asked for the vectors of pictures or of texts alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from transfuse.errors import ModelError, Problem
from transfuse.models.columns import TowerModule
from transfuse.models.encode import encode
from transfuse.models.engine import Engine
from transfuse.models.folder import save_network
from transfuse.models.joined import JoinedEncoder
from transfuse.models.network import Network
from transfuse.models.pairs.base import PairModel, Vectors

__all__ = ["PairNetwork"]


class PairNetwork(PairModel):
    """A network with towers.

    Args:
        network: The network.
        engine: The arithmetic. Default: the fastest one here.

    Raises:
        ModelError: If it has no towers, or none that reads text.
    """

    def __init__(self, network: Network, engine: Engine | None = None) -> None:
        encoder, towers = network.encoder, network.fusion
        if not isinstance(towers, TowerModule) or not isinstance(encoder, JoinedEncoder):
            raise ModelError(
                Problem("model", "compares no pictures with texts", "a model of `task: matching`")
            )
        if towers.order[1] != "text":
            raise ModelError(Problem("model", f"compares {' with '.join(towers.order)}", "texts"))
        self.network = network.eval()
        self._parts = dict(encoder.encoders())
        self._towers = towers
        self._engine = engine

    @property
    def scale(self) -> float:
        """See `PairModel.scale`."""
        return float(self._towers.scale.detach())

    @property
    def parameters(self) -> int:
        """See `PairModel.parameters`."""
        return sum(weight.numel() for weight in self.network.parameters())

    def pictures(self, rows: Sequence[Any]) -> Vectors:
        """See `PairModel.pictures`."""
        return self._vectors(self._towers.order[0], rows)

    def texts(self, texts: Sequence[str]) -> Vectors:
        """See `PairModel.texts`."""
        return self._vectors("text", texts)

    def save(self, folder: Path) -> None:
        """See `PairModel.save`."""
        save_network(self.network, folder)

    def _vectors(self, name: str, rows: Sequence[Any]) -> Vectors:
        pooled = torch.from_numpy(encode(self._parts[name], rows, self._engine))
        with torch.inference_mode():
            return self._towers.vectors(name, pooled).float().cpu().numpy()
