"""The papers' formulas in plain PyTorch, on the layers of our own modules: what others would write.

They have no care for half precision, odd batches or exports, so that they show what ours costs.
"""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Formula = Callable[..., Tensor]


class Plain(nn.Module):
    """A formula on the layers of a module, of which it has a copy with the same weights.

    Args:
        module: Module whose layers are used; its own forward is not.
        formula: Takes the module and its maps of shape (N, C, H, W), and gives one.
    """

    def __init__(self, module: nn.Module, formula: Formula) -> None:
        super().__init__()
        self.layers = copy.deepcopy(module)
        self.formula = formula

    def forward(self, *maps: Tensor) -> Tensor:
        """Apply the formula."""
        return self.formula(self.layers, *maps)


def through(layers: Iterable[nn.Module], x: Tensor) -> Tensor:
    """Apply layers one after the other, without what a container of ours does between them."""
    for layer in layers:
        x = layer(x)
    return x


def _means(x: Tensor) -> Tensor:
    return x.mean((2, 3), keepdim=True)


def _rows_and_columns(x: Tensor) -> Tensor:
    """Put the means of rows and of columns one behind the other: (N, C, H + W, 1)."""
    return torch.cat([x.mean(3, keepdim=True), x.mean(2, keepdim=True).transpose(2, 3)], 2)


def se(m: Any, x: Tensor) -> Tensor:
    """Squeeze and excitation."""
    return x * through(m.fc, x.mean((2, 3))).sigmoid()[..., None, None]


def eca(m: Any, x: Tensor) -> Tensor:
    """Efficient channel attention."""
    return x * m.conv(x.mean((2, 3))[:, None]).sigmoid().transpose(1, 2)[..., None]


def coord_att(m: Any, x: Tensor) -> Tensor:
    """Coordinate attention."""
    profile = m.act(m.bn1(m.conv1(_rows_and_columns(x))))
    rows, columns = profile.split(x.shape[2:], 2)
    return x * m.conv_w(columns.transpose(2, 3)).sigmoid() * m.conv_h(rows).sigmoid()


def caa(m: Any, x: Tensor) -> Tensor:
    """Context anchor attention."""
    layers = [*m.conv1, *m.h_conv, *m.v_conv, *m.conv2]
    return x * through(layers, F.avg_pool2d(x, 7, 1, 3)).sigmoid()


def agent_attention(m: Any, x: Tensor) -> Tensor:
    """Agent attention on maps, whose agents are a grid."""
    n, c, h, w = x.shape
    q, (k, v) = m.q(x), m.kv(x).chunk(2, 1)
    near = m.dwc(v)
    agents = F.adaptive_avg_pool2d(q, m.agent_grid)
    q, k, v, agents = (
        t.flatten(2).unflatten(1, (m.num_heads, -1)).transpose(2, 3) for t in (q, k, v, agents)
    )
    scale = (c // m.num_heads) ** -0.5
    rows, columns = (bias.permute(0, 3, 1, 2) for bias in (m.ha_bias, m.wa_bias))
    to_agents, to_map = (
        (_resized(near, h, w) + _resized(strips, h, w)).flatten(2)
        for near, strips in ((m.an_bias, m.ah_bias + m.aw_bias), (m.na_bias, rows + columns))
    )
    values = (agents * scale @ k.transpose(2, 3) + to_agents).softmax(-1) @ v
    shares = (q * scale @ agents.transpose(2, 3) + to_map.transpose(1, 2)).softmax(-1)
    return m.proj((shares @ values).transpose(2, 3).reshape(n, c, h, w) + near)


def _resized(x: Tensor, h: int, w: int) -> Tensor:
    return F.interpolate(x, (h, w), mode='bilinear')


def cbam(m: Any, x: Tensor) -> Tensor:
    """Convolutional block attention."""
    peaks = F.adaptive_max_pool2d(x, 1).flatten(1)
    logits = through(m.ChannelGate.mlp, x.mean((2, 3))) + through(m.ChannelGate.mlp, peaks)
    x = x * logits.sigmoid()[..., None, None]
    plane = torch.cat([x.max(1, keepdim=True).values, x.mean(1, keepdim=True)], 1)
    return x * through(m.SpatialGate.spatial, plane).sigmoid()


def bam(m: Any, x: Tensor) -> Tensor:
    """Bottleneck attention."""
    channel = through(m.channel_att.gate_c, x.mean((2, 3)))[..., None, None]
    return x * (1 + (channel * through(m.spatial_att.gate_s, x)).sigmoid())


def double_attention(m: Any, x: Tensor) -> Tensor:
    """Double attention."""
    features, gather = m.convA(x).flatten(2), m.convB(x).flatten(2).softmax(2)
    distribute = m.convV(x).flatten(2).softmax(1)
    out = features @ gather.transpose(1, 2) @ distribute
    return x + m.conv_reconstruct(out.unflatten(2, x.shape[2:]))


def ema(m: Any, x: Tensor) -> Tensor:
    """Efficient multi-scale attention."""
    groups = x.unflatten(1, (m.factor, -1)).flatten(0, 1)
    rows, columns = m.conv1x1(_rows_and_columns(groups)).split(x.shape[2:], 2)
    one = m.gn(groups * rows.sigmoid() * columns.transpose(2, 3).sigmoid())
    other = m.conv3x3(groups)
    logits = _weighed(one, other) + _weighed(other, one)
    out = groups * logits.unflatten(2, x.shape[2:]).sigmoid()
    return out.unflatten(0, (-1, m.factor)).flatten(1, 2)


def _weighed(weighing: Tensor, weighed: Tensor) -> Tensor:
    weights = weighing.mean((2, 3)).softmax(1)[:, None]  # (N * factor, 1, C / factor)
    return weights @ weighed.flatten(2)


def gala(m: Any, x: Tensor) -> Tensor:
    """Global and local attention."""
    what = through(m.fc, x.mean((2, 3)))[..., None, None]
    where = through(m.spatial, x)
    alpha, beta = m.alpha[:, None, None], m.beta[:, None, None]
    return x * (alpha * (what + where) + beta * what * where).sigmoid()


def gather_excite(m: Any, x: Tensor) -> Tensor:
    """Gather and excite with parameters."""
    gate = through(m.gather, x)
    if m.mlp is not None:
        gate = through(m.mlp, gate)
    return x * F.interpolate(gate.sigmoid(), x.shape[2:])


def gsop(m: Any, x: Tensor) -> Tensor:
    """Global second-order pooling."""
    y = m.bn_for_DR(m.conv_for_DR(x.relu())).relu().flatten(2)
    y = y - y.mean(2, keepdim=True)
    rows = m.row_bn((y @ y.transpose(1, 2) / y.shape[2])[..., None])
    return x * m.fc_adapt_channels(m.row_conv_group(rows)).sigmoid()


def lka(m: Any, x: Tensor) -> Tensor:
    """Large kernel attention."""
    return x * through([m.conv0, m.conv_spatial, m.conv1], x)


def lsk(m: Any, x: Tensor) -> Tensor:
    """Large selective kernel."""
    near = m.conv0(x)
    near, far = m.conv1(near), m.conv2(m.conv_spatial(near))
    both = torch.cat([near, far], 1)
    pooled = torch.cat([both.mean(1, keepdim=True), both.max(1, keepdim=True).values], 1)
    shares = m.conv_squeeze(pooled).sigmoid()
    return x * m.conv(near * shares[:, :1] + far * shares[:, 1:])


def lska(m: Any, x: Tensor) -> Tensor:
    """Large separable kernel attention."""
    layers = [m.conv0h, m.conv0v, m.conv_spatial_h, m.conv_spatial_v, m.conv1]
    return x * through(layers, x)


def mixed_pooling(m: Any, x: Tensor) -> Tensor:
    """Mixed pooling."""
    one = through(m.conv1_1, x).relu()
    square = through(m.conv2_0, one)
    for size, layers in zip(m.pool_size, (m.conv2_1, m.conv2_2), strict=True):
        grid = through(layers, F.adaptive_avg_pool2d(one, size))
        square = square + F.interpolate(grid, x.shape[2:], mode='bilinear', align_corners=True)
    square = through(m.conv2_5, square.relu()).relu()
    other = through(m.conv1_2, x).relu()
    columns = through(m.conv2_3, other.mean(2, keepdim=True))
    rows = through(m.conv2_4, other.mean(3, keepdim=True))
    strips = through(m.conv2_6, (rows + columns).relu()).relu()
    return (x + through(m.conv3, torch.cat([square, strips], 1))).relu()


def mlca(m: Any, x: Tensor) -> Tensor:
    """Mixed local channel attention."""
    n, c, h, w = x.shape
    cells = F.adaptive_avg_pool2d(x, m.local_size)
    local = m.conv_local(cells.flatten(2).transpose(1, 2).reshape(n, 1, -1)).sigmoid()
    local = local.reshape(n, -1, c).transpose(1, 2).reshape(cells.shape)
    whole = m.conv(_means(cells)[..., 0].transpose(1, 2)).sigmoid().transpose(1, 2)[..., None]
    share = m.local_weight
    return x * F.adaptive_avg_pool2d(share * local + (1 - share) * whole, (h, w))


def ms_cam(m: Any, x: Tensor) -> Tensor:
    """Multi-scale channel attention."""
    return x * (through(m.local_att, x) + through(m.global_att, _means(x))).sigmoid()


def attention_augmented_conv(m: Any, x: Tensor) -> Tensor:
    """A convolution beside self-attention without positions."""
    heads = [
        part.flatten(2).unflatten(1, (m.num_heads, -1)) for part in m.qkv_conv(x).split(m.widths, 1)
    ]
    q, k, v = heads  # (N, heads, width, H * W)
    weights = (q.transpose(2, 3) * q.shape[2] ** -0.5 @ k).softmax(3)
    out = (v @ weights.transpose(2, 3)).flatten(1, 2).unflatten(2, x.shape[2:])
    return torch.cat([m.conv_out(x), m.attn_out(out)], 1)


def sc_conv(m: Any, x: Tensor) -> Tensor:
    """Self-calibrated convolution."""
    coarse = F.interpolate(through(m.k2, F.avg_pool2d(x, m.pooling_r)), x.shape[2:])
    return through(m.k4, through(m.k3, x) * (x + coarse).sigmoid())


def scsa(m: Any, x: Tensor) -> Tensor:
    """Spatial and channel synergistic attention."""
    rows, columns = x.mean(3).chunk(4, 1), x.mean(2).chunk(4, 1)
    convs = (m.local_dwc, m.global_dwc_s, m.global_dwc_m, m.global_dwc_l)
    rows, columns = (
        norm(torch.cat([conv(part) for conv, part in zip(convs, parts, strict=True)], 1)).sigmoid()
        for norm, parts in ((m.norm_h, rows), (m.norm_w, columns))
    )
    x = x * rows[..., None] * columns[:, :, None]
    y = m.norm(F.avg_pool2d(x, m.window_size))
    q, k, v = (each(y).flatten(2).unflatten(1, (m.num_heads, -1)) for each in (m.q, m.k, m.v))
    weights = (q @ k.transpose(2, 3) * q.shape[2] ** -0.5).softmax(-1)
    return x * (weights @ v).mean(3).flatten(1).sigmoid()[..., None, None]


def shsa(m: Any, x: Tensor) -> Tensor:
    """Single-head self-attention on some of the channels."""
    partial = m.widths[-1]
    first, others = x.split([partial, x.shape[1] - partial], 1)
    q, k, v = through(m.qkv, m.pre_norm(first)).flatten(2).split(m.widths, 1)
    weights = (q.transpose(1, 2) @ k * q.shape[1] ** -0.5).softmax(-1)
    out = (v @ weights.transpose(1, 2)).unflatten(2, x.shape[2:])
    return through(m.proj[1], torch.cat([out, others], 1).relu())


def simam(m: Any, x: Tensor) -> Tensor:
    """A simple attention module without parameters."""
    square = (x - _means(x)).square()
    variance = square.sum((2, 3), keepdim=True) / (x.shape[2] * x.shape[3] - 1)
    return x * (square / (4 * (variance + m.e_lambda)) + 0.5).sigmoid()


def strip_pooling(m: Any, x: Tensor) -> Tensor:
    """Strip pooling."""
    rows = m.bn1(m.conv1(x.mean(3, keepdim=True)))
    columns = m.bn2(m.conv2(x.mean(2, keepdim=True)))
    return x * m.conv3((rows + columns).relu()).sigmoid()


def strip_module(m: Any, x: Tensor) -> Tensor:
    """Strip module."""
    return x * through([m.conv0, m.conv_spatial1, m.conv_spatial2, m.conv1], x)


def triplet_attention(m: Any, x: Tensor) -> Tensor:
    """Triplet attention: the map is turned twice, so that one gate serves three planes."""
    turned = _plane_gated(m.cw, x.transpose(1, 2).contiguous()).transpose(1, 2)
    tipped = _plane_gated(m.hc, x.transpose(1, 3).contiguous()).transpose(1, 3)
    return (_plane_gated(m.hw, x) + turned + tipped) / 3


def _plane_gated(gate: Any, x: Tensor) -> Tensor:
    plane = torch.cat([x.max(1, keepdim=True).values, x.mean(1, keepdim=True)], 1)
    return x * gate.conv.bn(gate.conv.conv(plane)).sigmoid()


def add(m: Any, x: Tensor, y: Tensor) -> Tensor:
    """Add two maps."""
    return x + y


def concat(m: Any, x: Tensor, y: Tensor) -> Tensor:
    """Mix two maps by one convolution."""
    return m.act(m.norm(m.conv(torch.cat([x, y], 1))))


def aff(m: Any, x: Tensor, y: Tensor) -> Tensor:
    """Attentional feature fusion."""
    return _fused(m.local_att, m.global_att, x + y, x, y, m.scale)


def iaff(m: Any, x: Tensor, y: Tensor) -> Tensor:
    """Iterative attentional feature fusion."""
    first = _fused(m.local_att, m.global_att, x + y, x, y, 1)
    return _fused(m.local_att2, m.global_att2, first, x, y, 1)


def fast_normalized(m: Any, x: Tensor, y: Tensor) -> Tensor:
    """Fast normalized fusion."""
    weights = m.weights.relu()
    weights = weights / (weights.sum() + 1e-4)
    return weights[0] * x + weights[1] * y


def bifpn(m: Any, x: Tensor, y: Tensor) -> Tensor:
    """Node of BiFPN."""
    out = F.silu(fast_normalized(m, x, y))
    return m.conv.bn(m.conv.pointwise_conv(m.conv.depthwise_conv(out)))


def _fused(local: Any, pooled: Any, z: Tensor, x: Tensor, y: Tensor, scale: float) -> Tensor:
    m = (through(local, z) + through(pooled, _means(z))).sigmoid()
    if scale == 1:
        return x * m + y * (1 - m)
    return scale * x * m + scale * y * (1 - m)
