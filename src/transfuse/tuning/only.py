"""Some columns' encoders move, the others stay as they are."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from transfuse.errors import Problem, RecipeError
from transfuse.models import Encoder, JoinedEncoder, Network
from transfuse.recipe.methods import build, nearest
from transfuse.tuning.base import Stage, Tuning

__all__ = ["Only"]


@dataclass(frozen=True)
class Only(Tuning):
    """The encoders of some columns are tuned, those of the others are locked.

    Locked-image tuning (Zhai et al., 2022, 'LiT: zero-shot transfer with locked-image text tuning',
    arXiv:2111.07991) is `only: {columns: [text], tune: full}` on towers. Fusion and heads train
    as the tuning says.
    """

    columns: tuple[str, ...] = ()
    """The columns whose encoders move, by their roles, such as `[text]`. Default: all of them."""

    tune: str | dict[str, Any] = "full"
    """How they move: any other tuning, as `tune` itself would say it. Default: full."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.inner, Only):
            raise ValueError("tune is a tuning other than `only`")

    @property
    def inner(self) -> Tuning:
        """The tuning of the columns that move."""
        # The list of all tunings holds this one too.
        from transfuse.tuning import TUNINGS

        made: Tuning = build(TUNINGS, self.tune, "tune.only.tune")
        return made

    def prepare(self, network: Network, seed: int) -> None:
        """See `Tuning.prepare`; locked encoders are left out of it."""
        with self._moving(network):
            self.inner.prepare(network, seed)

    def export(self, network: Network, folder: Path) -> None:
        """See `Tuning.export`."""
        with self._moving(network):
            self.inner.export(network, folder)

    def finish(self, network: Network) -> None:
        """See `Tuning.finish`."""
        with self._moving(network):
            self.inner.finish(network)

    def stages(self, network: Network) -> tuple[Stage, ...]:
        """The stages of the tuning, without what is locked."""
        with self._moving(network):
            return self.inner.stages(network)

    @contextmanager
    def _moving(self, network: Network) -> Iterator[None]:
        """The network as if it had the moving encoders alone, inside."""
        with ExitStack() as stack:
            for encoder in network.encoders.values():
                assert isinstance(encoder, Encoder)
                moving = self._known(tuple(str(role) for role in encoder.reads))
                if not isinstance(encoder, JoinedEncoder):
                    continue
                whole, depth = encoder.parts, encoder.depth
                stack.callback(self._put, encoder, whole, depth)
                kept = {name: whole[name] for name in moving}
                depths = [int(part.depth) for part in kept.values()]  # type: ignore[arg-type]
                self._put(encoder, nn.ModuleDict(kept), max(depths))
            yield

    def _known(self, names: tuple[str, ...]) -> tuple[str, ...]:
        problems = [
            Problem("tune.only.columns", f"no column {name!r}", fix=nearest(name, names))
            for name in self.columns
            if name not in names
        ]
        if problems:
            raise RecipeError(problems)
        return self.columns or names

    @staticmethod
    def _put(encoder: JoinedEncoder, parts: nn.ModuleDict, depth: int) -> None:
        encoder.parts, encoder.depth = parts, depth
