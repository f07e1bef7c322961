"""Agent attention."""

import math
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from mmattn.attention.base import Attention
from mmattn.layers.blend import Start
from mmattn.layers.checks import MapSide, Must, Positive, Side
from mmattn.ops.cells import grid_means
from mmattn.ops.precision import convolved, in_float32, narrowed, saturate_, widened
from mmattn.ops.received import received

Square = Annotated[
    Positive, Must(' that is a square, such as 49', lambda v: math.isqrt(v) ** 2 == v)
]


@MODELS.register_module()
class AgentAttention(Attention):
    """Agent attention: a few agents gather from all positions, and all positions from the agents.

    The agents are queries, pooled to a small grid. Each of two softmax attentions has a learned
    bias for every pair of an agent and a position; a depthwise 3x3 convolution of the values joins
    the result. The time grows with H * W times the number of agents.

    Paper: `Agent Attention: On the Integration of Softmax and Linear Attention
    <https://arxiv.org/abs/2312.08874>`_ (ECCV 2024). This is the form of the authors' code for
    detection and segmentation, which takes maps of any size; its weights load as they are, those
    of linear layers into 1x1 convolutions.

    Note:
        The biases are resized to the map by bilinear interpolation at each forward. Those of rows
        and columns belong to the map side of the pretraining, ``window_size``; to load weights it
        has to be the same. AgentPVT has ``window_size`` 56, 28, 14, 7 and ``num_agents`` 9, 16,
        49, 49 in its four stages; its detectors pool the agents to an ``agent_shape`` of (12, 12),
        (16, 16), (28, 28), (28, 28).

    Args:
        in_channels: Channels of the input and of the output, a multiple of ``num_heads``.
        num_heads: Attention heads; None for one for each 64 channels, or for the next number below
            that divides ``in_channels``.
        num_agents: Agents that have biases of their own, a square.
        window_size: Side in pixels of the map that the biases of rows and columns are for.
        qkv_bias: Whether queries, keys and values have a bias.
        agent_shape: Rows and columns that the agents are pooled to, the biases being resized to
            them; None for the square root of ``num_agents`` each.
        start: ``'paper'`` or ``'identity'``, see :class:`mmattn.attention.base.Attention`.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If a number is not positive, ``num_agents`` is no square, or ``num_heads`` does
            not divide ``in_channels``.

    Shape:
        - Input: (N, C, H, W) with ``C == in_channels`` and any H, W >= 1.
        - Output: (N, C, H, W).

    Example:
        >>> import torch
        >>> AgentAttention(16, num_heads=2)(torch.rand(2, 16, 7, 5)).shape
        torch.Size([2, 16, 7, 5])
    """

    _abbr_ = 'agent_attention'
    # The layers of the release are linear.
    released_names: ClassVar[dict[str, str]] = {'q.': 'q.', 'kv.': 'kv.', 'proj.': 'proj.'}

    def __init__(
        self,
        in_channels: int,
        *,
        num_heads: Positive | None = None,
        num_agents: Square = 49,
        window_size: MapSide = 14,
        qkv_bias: bool = True,
        agent_shape: tuple[Side, Side] | None = None,
        start: Start = 'paper',
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(in_channels, start, init_cfg)
        if num_heads is None:
            most = max(1, in_channels // 64)
            num_heads = max(d for d in range(1, most + 1) if in_channels % d == 0)
        if in_channels % num_heads:
            heads = max(d for d in range(1, num_heads) if in_channels % d == 0)
            raise ValueError(
                f'expected num_heads that divides in_channels {in_channels}, got {num_heads}; '
                f'{heads} works'
            )
        self.num_heads = num_heads
        side = math.isqrt(num_agents)
        self.agent_grid = (side, side)
        rows, columns = self.agent_grid if agent_shape is None else agent_shape
        self.agent_shape = (rows, columns)
        self.q = nn.Conv2d(in_channels, in_channels, 1, bias=qkv_bias)
        self.kv = nn.Conv2d(in_channels, 2 * in_channels, 1, bias=qkv_bias)
        self.proj = nn.Conv2d(in_channels, in_channels, 1)
        self.dwc = nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels)
        h, n, w = num_heads, num_agents, window_size
        self.an_bias = nn.Parameter(torch.zeros(h, n, 7, 7))
        self.na_bias = nn.Parameter(torch.zeros(h, n, 7, 7))
        self.ah_bias = nn.Parameter(torch.zeros(h, n, w, 1))
        self.aw_bias = nn.Parameter(torch.zeros(h, n, 1, w))
        self.ha_bias = nn.Parameter(torch.zeros(h, w, 1, n))
        self.wa_bias = nn.Parameter(torch.zeros(h, 1, w, n))
        for name, parameter in self.named_parameters():
            if name.endswith('_bias'):
                nn.init.trunc_normal_(parameter, std=0.02)

    def attend(self, x: Tensor) -> Tensor:
        """Gather for each position of ``x`` what the agents gathered from all."""
        q, k, v = self._embed(x)
        near = convolved(self.dwc, v)
        return convolved(self.proj, saturate_(near + narrowed(self._gather(q, k, v), near.dtype)))

    def gates(self, x: Tensor) -> dict[str, Tensor]:
        """Tell ``'attention'`` (N, 1, H, W): the mean weight that a position has for all.

        It passes through the agents, is the mean of all heads, and sums to one. The convolution of
        the values is left out.
        """
        return {'attention': received(self._gather, self._embed(x), values=2)}

    def _embed(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        k, v = convolved(self.kv, x).chunk(2, dim=1)
        return convolved(self.q, x), k, v

    def _gather(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        h, w = v.shape[2:]
        agents = grid_means(q, self.agent_shape)
        to_agents, to_map = self._biases(h, w)
        gathered = in_float32(self._attend_twice, agents, q, k, v, to_agents, to_map)
        return gathered.unflatten(2, (h, w))  # (N, C, H, W)

    def _attend_twice(
        self, agents: Tensor, q: Tensor, k: Tensor, v: Tensor, to_agents: Tensor, to_map: Tensor
    ) -> Tensor:
        """Attend from agents to positions, and back: (N, C, H * W)."""
        # (N, heads, D, agents) once and (N, heads, D, H * W) three times.
        agents, q, k, v = [
            t.flatten(2).unflatten(1, (self.num_heads, -1)) for t in (agents, q, k, v)
        ]
        scale = q.shape[2] ** -0.5
        of_positions = (agents.transpose(2, 3) * scale @ k + to_agents).softmax(3)
        values = of_positions @ v.transpose(2, 3)  # (N, heads, agents, D)
        of_agents = (agents.transpose(2, 3) @ (q * scale) + to_map).softmax(2)
        return (values.transpose(2, 3) @ of_agents).flatten(1, 2)

    def _biases(self, h: int, w: int) -> tuple[Tensor, Tensor]:
        """Give what is added to the scores of the two attentions: (heads, agents, H * W) each."""
        rows, columns = self.ha_bias.permute(0, 3, 1, 2), self.wa_bias.permute(0, 3, 1, 2)
        strips = widened(self.ah_bias) + widened(self.aw_bias)
        to_agents = self._resized(self.an_bias, h, w) + self._resized(strips, h, w)
        strips = widened(rows) + widened(columns)
        return to_agents, self._resized(self.na_bias, h, w) + self._resized(strips, h, w)

    def _resized(self, bias: Tensor, h: int, w: int) -> Tensor:
        """Resize a bias (heads, agents, h', w') to the map and, if need be, to the agents."""
        bias = widened(bias)
        if self.agent_shape != self.agent_grid:
            # The agents come first: the order is free, and they are few here.
            each = bias.flatten(2).transpose(1, 2).unflatten(2, self.agent_grid)
            each = F.interpolate(each, self.agent_shape, mode='bilinear')
            bias = each.flatten(2).transpose(1, 2).unflatten(2, bias.shape[2:])
        return F.interpolate(bias, (h, w), mode='bilinear').flatten(2)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        # The release gives these an axis for the batch in front; with five axes, PyTorch could not
        # bring the module into channels_last.
        for name in ('ah_bias', 'aw_bias', 'ha_bias', 'wa_bias'):
            bias = state_dict.get(prefix + name)
            if bias is not None and bias.dim() == 5:
                state_dict[prefix + name] = bias.squeeze(0)
        super()._load_from_state_dict(state_dict, prefix, *args)
