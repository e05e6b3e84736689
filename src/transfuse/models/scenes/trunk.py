"""The part of a whole detector or segmenter that looks at the picture, as a backbone of its own.

Where a decoder's layers depend on the classes, transformers' base model is no encoder: with other
classes a part of it would be fresh. What makes the feature maps does not depend on them. A trunk
holds those modules under their own names and gives their maps packed as `pyramid.py` packs them.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutput

from transfuse.models.scenes.pyramid import Level, levels_of_maps, packed

__all__ = ["HybridTrunk", "PixelTrunk", "Trunk"]


class Trunk(nn.Module, ABC):
    """Modules that make feature maps.

    Args:
        parts: The modules by their names.
    """

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    @abstractmethod
    def maps(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """The feature maps, from the coarsest on.

        Args:
            pixels: Normalised pictures [n, 3, size, size].

        Returns:
            For each a map [n, channels, side, side].
        """

    def forward(self, pixel_values: torch.Tensor, return_dict: bool = True) -> BaseModelOutput:
        """As a vision backbone of transformers.

        Args:
            pixel_values: Normalised pictures [n, 3, size, size].
            return_dict: Not used; backbones are called with it.

        Returns:
            `last_hidden_state`: the packed maps, one token for each place of the coarsest.
        """
        maps = self.maps(pixel_values)
        return BaseModelOutput(last_hidden_state=packed(maps, levels_of_maps(maps), even=False))

    def levels(self, size: int) -> tuple[Level, ...]:
        """The maps that its tokens hold.

        Args:
            size: Side of the pictures in pixels.
        """
        weight = next(self.parameters())
        was = self.training
        self.eval()
        with torch.no_grad():
            maps = self.maps(weight.new_zeros(1, 3, size, size))
        self.train(was)
        return levels_of_maps(maps)


class HybridTrunk(Trunk):
    """RT-DETR's: backbone, hybrid encoder, and what brings its maps to the decoder's width.

    Zhao et al. (2024), 'DETRs beat YOLOs on real-time object detection' (arXiv:2304.08069).
    """

    def maps(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """See `Trunk.maps`."""
        backbone, widths, encoder, inputs = (cast(Any, part) for part in self.children())
        mask = pixels.new_ones(len(pixels), *pixels.shape[2:])
        maps = [seen for seen, _ in backbone(pixels, mask)]
        found = encoder([width(seen) for width, seen in zip(widths, maps, strict=True)])
        found = list(found.last_hidden_state)
        # Further inputs of the decoder are coarser views of the last map.
        found += [found[-1]] * (len(inputs) - len(found))
        return [bring(each) for bring, each in zip(inputs, found, strict=True)][::-1]


class PixelTrunk(Trunk):
    """Mask2Former's: backbone and pixel decoder; the finest map is what masks are drawn on.

    Cheng et al. (2022), 'Masked-attention mask transformer for universal image segmentation'
    (arXiv:2112.01527).
    """

    def maps(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """See `Trunk.maps`."""
        (module,) = (cast(Any, part) for part in self.children())
        output = module(pixels)
        return [*output.decoder_hidden_states, output.decoder_last_hidden_state]
