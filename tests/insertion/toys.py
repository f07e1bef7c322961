"""Small hosts, each with one habit of the models in the wild."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.insertion import InsertAttention

COORD_ATT = dict(type='CoordAtt', reduction=4)
IMAGE = (3, 32, 40)

Maps = namedtuple('Maps', 'low high')


@dataclass
class Output:
    """What Hugging Face's models return is like this."""

    last: Tensor
    extra: str
    maps: list


class Block(nn.Module):
    """Residual block with batch norm, without the option ``plugins``."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.idle = nn.Conv2d(1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.bn1(self.conv1(x)))


class Tower(BaseModule):
    """Backbone of two stages that initializes, freezes and evaluates as OpenMMLab's do."""

    def __init__(
        self,
        form: str = 'tuple',
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: dict | list | None = dict(type='Kaiming', layer='Conv2d'),
        train_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.form = form
        self.train_cfg = train_cfg
        self.norm_eval = norm_eval
        self.frozen_stages = frozen_stages
        self.layer1 = nn.Sequential(Block(3, 8), Block(8, 8))
        self.layer2 = nn.Sequential(nn.MaxPool2d(2), Block(8, 16))
        self._freeze()

    def _freeze(self) -> None:
        for i in range(1, self.frozen_stages + 1):
            stage = getattr(self, f'layer{i}')
            stage.eval()
            for parameter in stage.parameters():
                parameter.requires_grad = False

    def train(self, mode: bool = True) -> None:  # mmdet's return nothing, either
        super().train(mode)
        self._freeze()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()

    def forward(self, x: Tensor):
        low = self.layer1(x)
        high = self.layer2(low)
        return dict(
            tuple=lambda: (low, high),
            list=lambda: [low, high],
            tensor=lambda: high,
            dict=lambda: OrderedDict(low=low, high=high),
            named=lambda: Maps(low, high),
            data=lambda: Output(high, 'text', [low, None]),
            nhwc=lambda: high.permute(0, 2, 3, 1).contiguous(),
            vector=lambda: high.mean((2, 3)),
        )[self.form]()


class Tokens(nn.Module):
    """Transformer that carries its map as a sequence, with a class token in front."""

    def __init__(self, tells: str = 'beside', patch: int = 8, channels: int = 12) -> None:
        super().__init__()
        self.tells = tells
        self.embed = Embed(tells, patch, channels)
        self.block = TokenBlock(channels, tells == 'beside')

    def forward(self, x: Tensor):
        tokens = self.embed(x)
        if self.tells == 'nowhere':
            return self.block(tokens)
        tokens, grid = tokens
        return self.block(tokens, grid) if self.tells == 'beside' else self.block(tokens)


class Embed(nn.Module):
    def __init__(self, tells: str, patch: int, channels: int) -> None:
        super().__init__()
        self.tells = tells
        self.proj = nn.Conv2d(3, channels, patch, stride=patch)
        self.cls_token = nn.Parameter(torch.rand(1, 1, channels))

    def forward(self, x: Tensor):
        x = self.proj(x)
        tokens = x.flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), tokens], dim=1)
        return tokens if self.tells == 'nowhere' else (tokens, tuple(x.shape[2:]))


class TokenBlock(nn.Module):
    def __init__(self, channels: int, with_grid: bool) -> None:
        super().__init__()
        self.with_grid = with_grid
        self.linear = nn.Linear(channels, channels)

    def forward(self, x: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        # A view, which asks for the layout that the host itself has.
        return x + self.linear(x.view(-1, x.shape[2])).view(x.shape)


def insert(host, *sites: dict, **options) -> nn.Module:
    """Insert by the registry, as a config does; ``host`` is a module or a config."""
    options.setdefault('input_shape', IMAGE)
    return MODELS.build(dict(type=InsertAttention, host=host, sites=list(sites), **options))


def image(height: int = 32, width: int = 40, batch: int = 2) -> Tensor:
    return torch.rand(batch, 3, height, width)
