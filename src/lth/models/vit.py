"""A small vision transformer (Dosovitskiy et al. 2021, section 3.1), with torchvision's parameter names."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lth.errors import ModelError
from lth.models.arguments import demand, demand_count, demand_multiplier, scaled


class EncoderBlock(nn.Module):
    """A block of self-attention and a perceptron with one hidden layer, each behind a norm and beside a shortcut."""

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float):
        super().__init__()
        self.ln_1 = nn.LayerNorm(dim, eps=1e-6)
        self.self_attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim), nn.Dropout(dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        normed = self.ln_1(x)
        x = x + self.dropout(self.self_attention(normed, normed, normed, need_weights=False)[0])
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    """The learnt positions, `depth` blocks and the norm behind them, on (batch, tokens, dim)."""

    def __init__(self, tokens: int, dim: int, depth: int, heads: int, hidden: int, dropout: float):
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.empty(1, tokens, dim))
        self.dropout = nn.Dropout(dropout)
        blocks = {f"encoder_layer_{index}": EncoderBlock(dim, heads, hidden, dropout) for index in range(depth)}
        self.layers = nn.Sequential(OrderedDict(blocks))
        self.ln = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return self.ln(self.layers(self.dropout(x + self.pos_embedding)))


class VisionTransformer(nn.Module):
    """A pre-norm transformer over the patches of an image and a class token, whose output is classified.

    `patch` is a patch's side in pixels, `mlp` the hidden units of the perceptrons (4 `dim` where left out). The
    defaults suit 32 x 32 images: 2 693 578 parameters at 3 channels and 10 classes. `width_multiplier` scales
    `mlp` and the part of `dim` that each head has. Raises ModelError for arguments out of range, heads that do not
    divide `dim`, and patches that do not tile the image.
    """

    def __init__(
        self, input_shape: Sequence[int], classes: int,
        patch: int = 4, dim: int = 192, depth: int = 6, heads: int = 3, mlp: int | None = None, dropout: float = 0.0,
        width_multiplier: float = 1.0,
    ):  # fmt: skip
        super().__init__()
        hidden = 4 * dim if mlp is None else mlp
        _check(input_shape, patch, dim, depth, heads, hidden, dropout)
        demand_multiplier(width_multiplier)
        dim, hidden = heads * scaled(dim // heads, width_multiplier), scaled(hidden, width_multiplier)
        channels, height, width = input_shape
        self.class_token = nn.Parameter(torch.empty(1, 1, dim))
        self.conv_proj = nn.Conv2d(channels, dim, patch, patch)
        tokens = (height // patch) * (width // patch) + 1
        self.encoder = Encoder(tokens, dim, depth, heads, hidden, dropout)
        self.heads = nn.Sequential(OrderedDict(head=nn.Linear(dim, classes)))
        self._initialize()

    def forward(self, x: Tensor) -> Tensor:
        """Returns the logits, (batch, classes), of images (batch, channels, height, width)."""
        patches = self.conv_proj(x).flatten(2).mT
        tokens = torch.cat([self.class_token.expand(len(x), -1, -1), patches], 1)
        return self.heads(self.encoder(tokens)[:, 0])

    def _initialize(self) -> None:
        """Glorot uniform for linear and attention layers, variance 1 / fan-in for the patches, biases 0.

        Class token and positions are N(0, 0.02). The classifier is drawn too: zeros are for fine-tuning.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
            if isinstance(module, nn.Linear | nn.Conv2d) and module.bias is not None:
                nn.init.zeros_(module.bias)
        nn.init.kaiming_normal_(self.conv_proj.weight, nonlinearity="linear")
        nn.init.normal_(self.class_token, std=0.02)
        nn.init.normal_(self.encoder.pos_embedding, std=0.02)


def _check(
    input_shape: Sequence[int], patch: int, dim: int, depth: int, heads: int, hidden: int, dropout: float
) -> None:
    counts = {"patch": patch, "dim": dim, "depth": depth, "heads": heads, "mlp": hidden}
    for name, value in counts.items():
        demand_count(name, value)
    demand("heads", heads, dim % heads == 0, f"Take a divisor of dim, {dim}.")
    demand("dropout", dropout, 0 <= dropout < 1, "Take a probability from 0 to below 1.")
    if any(size % patch for size in input_shape[1:]):
        what = f"the patches do not tile images of {input_shape[1]} x {input_shape[2]} pixels"
        raise ModelError(what, at="model.arguments.patch", value=patch, cure="Take a divisor of height and width.")
