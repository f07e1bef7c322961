"""The attention modules of timm."""

from difflib import get_close_matches

from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.packages import import_optional
from mmattn.ops.precision import in_float32, saturate

# timm has no list of them; these only help with a mistyped name.
KNOWN = (
    *('se', 'ese', 'eca', 'ecam', 'ceca', 'ge', 'gc', 'gca', 'cbam', 'lcbam', 'coord', 'scoord'),
    *('ela', 'strip', 'sk', 'splat', 'lambda', 'bottleneck', 'halo', 'nl', 'bat'),
)


@MODELS.register_module()
class TimmAttention(Attention):
    """Any attention module of timm, by the name that timm gives it.

    timm builds it with its own defaults and names its weights; here it gets the same shape check
    and the same two starts as the others. timm is imported when the first one is built.

    See `timm.layers.create_attn <https://github.com/huggingface/pytorch-image-models>`_.

    Note:
        It computes in float32 whatever the type of the map, because timm's modules overflow
        float16 each in its own way. A batch norm that trains on one value per channel, which
        PyTorch refuses, uses its running statistics.

    Args:
        in_channels: Channels of the input and of the output.
        name: Name for ``timm.layers.create_attn``, such as ``'se'``, ``'eca'`` or ``'cbam'``.
        options: Further arguments of timm's module, in its own words.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        MissingPackage: If timm is not installed.
        ValueError: If ``in_channels`` is not positive, timm does not know ``name``, or its module
            changes the shape.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels``.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> TimmAttention(16, name='eca')(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'timm_attention'

    def __init__(
        self,
        in_channels: int,
        *,
        name: str = 'cbam',
        options: dict | None = None,
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        self.name = name
        try:
            self.attn = timm_module(name)(in_channels, **(options or {}))
        except TypeError as error:
            raise TypeError(
                f'TimmAttention: options {options} do not fit {name}: {error}'
            ) from error
        for norm in self.attn.modules():
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                norm.register_forward_pre_hook(rest)
                norm.register_forward_hook(resume, always_call=True)

    def attend(self, x: Tensor) -> Tensor:
        """Apply timm's module to ``x``."""
        out = saturate(in_float32(self.attn, x).to(x.dtype))
        if out.shape != x.shape:
            raise ValueError(
                f'expected timm module {self.name!r} to keep the shape {tuple(x.shape)}, '
                f'got {tuple(out.shape)}'
            )
        return out


def timm_module(name: str) -> type[nn.Module]:
    """Look up a module of timm.

    Raises:
        MissingPackage: If timm is not installed.
        ValueError: If it does not know the name.
    """
    get_attn = import_optional('timm.layers', 'TimmAttention').get_attn
    try:
        found = get_attn(name) if isinstance(name, str) else None
    except AssertionError:
        found = None
    if found is None:
        near = get_close_matches(str(name), KNOWN, cutoff=0.4) or KNOWN
        raise ValueError(
            f'expected a name that timm knows, such as {", ".join(near)}; got {name!r}'
        )
    return found


def rest(norm: nn.Module, args: tuple[Tensor, ...]) -> None:
    """Let a batch norm that would train on one value per channel use its running statistics."""
    x = args[0]
    if norm.training and norm.running_mean is not None and x.numel() == x.shape[1]:
        norm.training = False
        norm.rests = True


def resume(norm: nn.Module, args: tuple[Tensor, ...], out: Tensor | None) -> None:
    """Undo :func:`rest`."""
    if getattr(norm, 'rests', False):
        norm.training = True
        norm.rests = False
