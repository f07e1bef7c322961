"""Pooling and dropout in front of a classifier."""

from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.layers.checks import Share, checked


@MODELS.register_module()
class PooledDropout(BaseModule):
    """Average each map over its positions and drop channels at random while training.

    mmpretrain's ``GlobalAveragePooling`` with the dropout that the published mobile networks have
    in front of their linear classifier.

    Args:
        drop_rate: Chance of a channel to be dropped.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``drop_rate`` is not from 0 to 1.

    Shape:
        - Input: one (N, C_i, H_i, W_i) per map.
        - Output: one (N, C_i) per map.

    Example:
        >>> import torch
        >>> [pooled] = PooledDropout(0.1)((torch.rand(2, 16, 7, 5),))
        >>> pooled.shape
        torch.Size([2, 16])
    """

    @checked
    def __init__(self, drop_rate: Share, init_cfg: dict | list[dict] | None = None) -> None:
        super().__init__(init_cfg)
        self.dropout = nn.Dropout(drop_rate)

    def forward(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Turn each map into one vector per image."""
        return tuple(self.dropout(x.mean((2, 3))) for x in maps)
