"""`covers` and `simple` in PyTorch's words."""

from __future__ import annotations

import torch
from torch import nn

# Filters and kernel of the convolution blocks, dropout after each, hidden dense layers, dropout around them, whether those are normalised, weight decay.
_SHAPES: dict[str, tuple[tuple[int, ...], float, tuple[int, ...], float, bool, float]] = {
    "covers": ((32, 48, 64, 80), 0.0, (128, 64), 0.3, False, 2e-4),
    "simple": ((32, 64), 0.25, (128,), 0.5, True, 0.0),
}


class Network(nn.Module):
    """A CNN for pixels of 0 to 255, [batch, 3, height, width]; gives logits."""

    def __init__(self, model: str, image_size: tuple[int, int], classes: int) -> None:
        super().__init__()
        filters, block_dropout, hidden, dropout, is_normalised, self.weight_decay = _SHAPES[model]
        blocks: list[nn.Module] = []
        channels = 3
        for width in filters:
            blocks += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.MaxPool2d(2), nn.ReLU()]
            blocks += [nn.Dropout(block_dropout)] if block_dropout else []
            channels = width
        scale = 2 ** len(filters)
        features = channels * (image_size[0] // scale) * (image_size[1] // scale)
        head: list[nn.Module] = [nn.Flatten()]
        for width in hidden:
            if is_normalised:
                head += [nn.Linear(features, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
            else:
                head += [nn.Dropout(dropout), nn.Linear(features, width), nn.ReLU()]
            features = width
        self.layers = nn.Sequential(*blocks, *head, nn.Dropout(dropout), nn.Linear(features, classes))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(images.float() / 255)
        return logits
