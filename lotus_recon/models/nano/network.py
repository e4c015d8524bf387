"""The network of nano: an ImageNet encoder, a shared neck and a decoder conditioned on the task. B images (H, W)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import nn
from torch.nn import functional

SIZE_DIVISOR = 32  # both sides of an image must be multiples of this
SKY = "sky"  # among the maps: logits of sky


@dataclass(frozen=True)
class NanoSize:
    """Widths of what follows the encoder."""

    neck: list[int] = field(default_factory=lambda: [160, 128, 96])  # at 1/32, 1/16, 1/8 of the image
    decoder: list[int] = field(default_factory=lambda: [64, 32])  # at 1/4 and 1/2
    attention_layers: int = 2  # at 1/32: global context
    attention_heads: int = 4
    embedding: int = 128  # of the task switcher
    sky: bool = False  # tells the sky apart, from what it decodes for depth


# EfficientNet-Lite0 (Tan and Le, ICML 2019; the Lite variant of TensorFlow's TPU models: ReLU6, no squeeze-and-excite):
# expansion, kernel, stride, channels out, repeats.
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
_STEM = 32
FEATURES = (16, 24, 40, 112, 320)  # channels at 1/2, 1/4, 1/8, 1/16, 1/32


class _Conv(nn.Module):
    """Convolution, normalisation with fixed statistics, ReLU6; padded as TensorFlow does (more below and right)."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int = 1, groups: int = 1, act: bool = True):
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outside, eps=1e-3)
        total = kernel - stride  # of the padding, for sides that are multiples of the stride
        before, after = total // 2, total - total // 2
        self.act = act
        self.conv.padding = (before, before)
        self.after = after - before  # 1 where the padding is uneven

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.after:
            x = functional.pad(x, (0, self.after, 0, self.after))
        # The statistics are those of ImageNet, also in training: a result never depends on the rest of the batch.
        x = self.conv(x)
        norm = self.norm
        x = functional.batch_norm(
            x, norm.running_mean, norm.running_var, norm.weight, norm.bias, training=False, eps=norm.eps
        )
        return functional.relu6(x) if self.act else x


class _Inverted(nn.Module):
    """Inverted residual: widen, filter per channel, narrow."""

    def __init__(self, inside: int, outside: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = inside * expansion
        layers = [_Conv(inside, wide, 1)] if expansion > 1 else []
        layers += [_Conv(wide, wide, kernel, stride, groups=wide), _Conv(wide, outside, 1, act=False)]
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and inside == outside

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layers(x)
        return x + y if self.residual else y


class Encoder(nn.Module):
    """EfficientNet-Lite0 without its classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Conv(3, _STEM, 3, 2)
        blocks, inside = [], _STEM
        for expansion, kernel, stride, outside, repeats in _STAGES:
            for i in range(repeats):
                blocks.append(_Inverted(inside, outside, expansion, kernel, stride if i == 0 else 1))
                inside = outside
        self.blocks = nn.ModuleList(blocks)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Features at 1/2, 1/4, 1/8, 1/16, 1/32 of an image (B, 3, H, W) in [-1, 1]."""
        x = self.stem(image)
        features: list[torch.Tensor] = []
        for block in self.blocks:
            y = block(x)
            if y.shape[-1] < x.shape[-1]:
                features.append(x)
            x = y
        return [*features, x]


def _filter(inside: int, outside: int) -> nn.Conv2d:
    """A 3x3 convolution with replicate padding, so that the border leaves no artefact."""
    return nn.Conv2d(inside, outside, 3, padding=1, padding_mode="replicate")


def _with_equal_cells(head: nn.Conv2d) -> nn.Conv2d:
    """A head whose 2x2 pixels of a cell start out equal: no checkerboard (Aitken et al., 2017)."""
    with torch.no_grad():
        for values in head.parameters():
            values.copy_(values[::4].repeat_interleave(4, dim=0))
    return head


class _Up(nn.Module):
    """To the next finer features: narrow, double the size, join with the skip, two convolutions with a bypass.

    Where there is a task, it scales and shifts the channels between the convolutions.
    """

    def __init__(self, inside: int, skip: int, outside: int, embedding: int = 0) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(inside, outside, 1)  # before the size is doubled, where it costs a quarter
        self.first = _filter(outside + skip, outside)
        self.norm = nn.GroupNorm(8, outside)
        self.second = _filter(outside, outside)
        self.task = nn.Linear(embedding, 2 * outside) if embedding else None

    def forward(self, x: torch.Tensor, skip: torch.Tensor, embedding: torch.Tensor | None = None) -> torch.Tensor:
        x = functional.interpolate(self.narrow(x), scale_factor=2.0, mode="bilinear", align_corners=False)
        y = self.norm(self.first(torch.cat([x, skip], dim=1)))
        if self.task is not None:
            scale, shift = self.task(embedding)[..., None, None].chunk(2, dim=1)
            y = y * (1 + scale) + shift
        return torch.relu(x + self.second(functional.relu(y)))


class _Attention(nn.Module):
    """A transformer layer on a map; a depthwise convolution tells positions apart (Chu et al., ICLR 2023)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.position = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.position(x)
        batch, width, height, columns = x.shape
        tokens = x.flatten(2).transpose(1, 2)  # B N C
        q, k, v = self.qkv(self.norm(tokens)).reshape(batch, -1, 3, self.heads, width // self.heads).unbind(2)
        attended = functional.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        tokens = tokens + self.out(attended.transpose(1, 2).reshape(batch, -1, width))
        tokens = tokens + self.mlp(tokens)
        return tokens.transpose(1, 2).reshape(batch, width, height, columns)


class NanoNetwork(nn.Module):
    """Maps of images, one task switcher per map. The forward pass is the single step, without noise or timestep."""

    def __init__(self, switcher_size: int, size: NanoSize | None = None) -> None:
        super().__init__()
        self.switcher_size = switcher_size
        self.size = size = size or NanoSize()
        self.encoder = Encoder()
        deep, middle, fine = size.neck
        quarter, half = size.decoder
        self.narrow = nn.Conv2d(FEATURES[4], deep, 1)
        self.attention = nn.Sequential(*(_Attention(deep, size.attention_heads) for _ in range(size.attention_layers)))
        self.neck = nn.ModuleList([_Up(deep, FEATURES[3], middle), _Up(middle, FEATURES[2], fine)])
        self.embed = nn.Sequential(nn.Linear(2 * switcher_size, size.embedding), nn.ReLU())
        self.decoder = nn.ModuleList(
            [_Up(fine, FEATURES[1], quarter, size.embedding), _Up(quarter, FEATURES[0], half, size.embedding)]
        )
        self.head = _filter(half, 12)
        _with_equal_cells(self.head)
        self.sky: nn.Conv2d | None = None
        if size.sky:
            self.add_sky()

    def add_sky(self) -> None:
        """Let it tell the sky too: a head of its own, untrained."""
        self.size = replace(self.size, sky=True)
        self.sky = _with_equal_cells(_filter(self.size.decoder[1], 4)).to(self.head.weight)

    def forward(self, image: torch.Tensor, switchers: Mapping[str, Sequence[float]]) -> dict[str, torch.Tensor]:
        """A map (B, 3, H, W), about [-1, 1], per task of an image (B, 3, H, W) in [-1, 1]; all from one encoding.

        switchers: task -> task switcher; the decoder gets its sines and cosines, as in Lotus. With depth comes ``SKY``
        (B, 1, H, W), above 0 where it is more likely than not, from a network that has learnt it.
        """
        half, quarter, eighth, sixteenth, last = self.encoder(image)
        x = self.attention(self.narrow(last))
        x = self.neck[1](self.neck[0](x, sixteenth), eighth)
        decoded = {task: self._decode(x, quarter, half, switcher) for task, switcher in switchers.items()}
        maps = {task: functional.pixel_shuffle(self.head(features), 2) for task, features in decoded.items()}
        if self.sky is not None and "depth" in decoded:
            maps[SKY] = functional.pixel_shuffle(self.sky(decoded["depth"]), 2)
        return maps

    def _decode(
        self, x: torch.Tensor, quarter: torch.Tensor, half: torch.Tensor, switcher: Sequence[float]
    ) -> torch.Tensor:
        values = torch.tensor([switcher], dtype=torch.float32, device=x.device)
        embedding = self.embed(torch.cat([values.sin(), values.cos()], dim=1).to(x.dtype))
        features: torch.Tensor = self.decoder[1](self.decoder[0](x, quarter, embedding), half, embedding)
        return features
