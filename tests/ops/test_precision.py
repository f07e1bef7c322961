"""Where half precision is too coarse or too small for what a module computes in between."""

import copy

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from mmattn.attention import (
    ECA,
    EMA,
    MSCAM,
    SE,
    DoubleAttention,
    GlobalContext,
    SKConv,
    SplitAttention,
    TripletAttention,
)
from mmattn.ops.coord_gate import coord_gate
from mmattn.ops.coord_pool import coord_pool
from mmattn.ops.precision import (
    convolved,
    in_float32,
    narrowed,
    on_map,
    rectified,
    saturate,
    saturate_,
    summed_product,
)
from tests.helpers import randomize

LARGEST = torch.finfo(torch.float16).max


def fill(tensor, *values):
    with torch.no_grad():
        tensor.copy_(torch.tensor(values).view_as(tensor))


def zero(*modules):
    for module in modules:
        for parameter in module.parameters():
            nn.init.zeros_(parameter)


def assert_as_in_float64(module, x, rtol):
    """Compare what float16 and float64 make of the same weights and the same map."""
    module, x = module.half().eval(), x.half()
    with torch.no_grad():
        expected = copy.deepcopy(module).double()(x.double())
        out = module(x)
    assert out.dtype == torch.float16
    torch.testing.assert_close(out.double(), expected, rtol=rtol, atol=0)


# ---- Means: the first channel's is 0.2 above the second's, less than float16 can tell there ----


def near_means():
    x = torch.full((1, 2, 1, 5), 1000.0)
    x[0, 0, 0, 3:] = 1000.5
    return x


def eca_of_difference():
    module = ECA(2, kernel_size=3)
    fill(module.conv.weight, 16, -16, 0)
    return module


def se_of_difference():
    module = SE(2, reduction=2, bias=False)
    fill(module.fc[0].weight, 16, -16)
    fill(module.fc[2].weight, -1, 1)
    return module


def ms_cam_of_difference():
    module = MSCAM(2, reduction=2)
    zero(module.local_att, module.global_att[1], module.global_att[4])
    fill(module.global_att[1].weight, 16, -16)
    fill(module.global_att[4].weight, -1, 1)
    return module


def triplet_attention_of_difference():
    module = TripletAttention(2, kernel_size=1)
    for plane in (module.cw, module.hc, module.hw):
        fill(plane.conv.conv.weight, -16, 16)
    return module


def global_context_of_difference():
    module = GlobalContext(2, reduction=1, pooling_type='avg', fusion_types=['channel_mul'])
    for layer in (module.channel_mul_conv[0], module.channel_mul_conv[3]):
        zero(layer)
        fill(layer.weight, 1, 0, 0, 1)
    return module


DIFFERENCES = {
    'ECA': eca_of_difference,
    'SE': se_of_difference,
    'MSCAM': ms_cam_of_difference,
    'TripletAttention': triplet_attention_of_difference,
    'GlobalContext': global_context_of_difference,
}


@pytest.mark.parametrize('name', DIFFERENCES)
def test_means_are_finer_than_float16(name):
    assert_as_in_float64(DIFFERENCES[name](), near_means(), rtol=0.01)


@pytest.mark.parametrize('name', ['SplitAttention', 'SKConv'])
def test_means_of_what_the_convolutions_make(name):
    # With the centre of a kernel alone a convolution is the identity, or adds up its channels.
    options = dict(groups=2, min_channels=2) if name == 'SKConv' else dict(reduction_factor=4)
    module = {'SKConv': SKConv, 'SplitAttention': SplitAttention}[name](2, **options)
    zero(module)
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.ones_(norm.weight)
    with torch.no_grad():
        if name == 'SKConv':
            for path in module.paths:
                path.conv.weight[:, :, 1, 1] = 0.5
            module.attn.fc_reduce.weight[0] = torch.tensor([16.0, -16.0]).view(2, 1, 1)
            module.attn.fc_select.weight[:2, 0] = 1
        else:
            # Each version has a channel of the input; half of it, of which the sum is one again.
            module.conv.weight[:, :, 1, 1] = torch.tensor([[0.5], [0.5], [0.5], [0.5]])
            module.fc1.weight[0] = torch.tensor([16.0, -16.0]).view(2, 1, 1)
            module.fc2.weight[:2, 0] = 1
    assert_as_in_float64(module, near_means(), rtol=0.01)


def test_average_over_many_positions_in_double_attention():
    """Each of them weighs less than float16 can tell from the next number."""
    module = DoubleAttention(1, c_m=1, c_n=1, residual=False)
    zero(module)
    nn.init.ones_(module.convA.weight)
    nn.init.ones_(module.conv_reconstruct.weight)
    assert_as_in_float64(module, torch.ones(1, 1, 700, 700), rtol=1e-3)


class Types(TorchDispatchMode):
    """Notes in which type each mean is computed."""

    def __init__(self):
        super().__init__()
        self.means = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if function is torch.ops.aten.mean.dim:
            self.means.add(out.dtype)
        return out


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_rows_and_columns_are_averaged_in_float32_or_wider(dtype):
    # On a CPU the sum is that in any case; where a model is exported to, it need not be.
    with Types() as types:
        means = coord_pool(torch.rand(1, 2, 3, 4, dtype=dtype))
    assert types.means == {torch.promote_types(dtype, torch.float32)}
    assert {mean.dtype for mean in means} == {dtype}


# ---- Gates: a logit near -8 that is rounded to float16 first changes its gate by up to 0.4 % ----


def eca_with_small_gates():
    module = ECA(64, kernel_size=1)
    fill(module.conv.weight, -2.9)
    return module


def se_with_small_gates():
    module = randomize(SE(64, reduction=4))
    nn.init.normal_(module.fc[2].weight, std=0.02)
    nn.init.constant_(module.fc[2].bias, -8)
    return module


def ms_cam_with_small_gates():
    module = MSCAM(64)
    zero(module.local_att)
    nn.init.constant_(module.global_att[5].bias, -8)
    nn.init.constant_(module.global_att[5].weight, 0.2)
    return module


def triplet_attention_with_small_gates():
    module = TripletAttention(64)
    for plane in (module.cw, module.hc, module.hw):
        nn.init.constant_(plane.conv.bn.bias, -8)
        nn.init.constant_(plane.conv.bn.weight, 0.1)
    return module


def global_context_with_small_gates():
    module = GlobalContext(64, pooling_type='avg', fusion_types=['channel_mul'])
    nn.init.normal_(module.channel_mul_conv[3].weight, std=0.1)
    nn.init.constant_(module.channel_mul_conv[3].bias, -8)
    return module


SMALL = {
    'ECA': eca_with_small_gates,
    'SE': se_with_small_gates,
    'MSCAM': ms_cam_with_small_gates,
    'TripletAttention': triplet_attention_with_small_gates,
    'GlobalContext': global_context_with_small_gates,
}


@pytest.mark.parametrize('name', SMALL)
def test_gates_are_rounded_only_when_they_are_done(name):
    x = torch.rand(1, 64, 4, 3) * 0.1 + 2.8
    assert_as_in_float64(SMALL[name](), x, rtol=2e-3)


def test_gates_of_rows_and_columns_are_rounded_only_when_they_are_done():
    a_h, a_w = torch.rand(1, 8, 9, 1) - 8, torch.rand(1, 8, 1, 7) - 3
    out = coord_gate(torch.full((1, 8, 9, 7), 1000.0).half(), a_h, a_w)
    assert out.dtype == torch.float16
    expected = 1000 * a_h.double().sigmoid() * a_w.double().sigmoid()
    torch.testing.assert_close(out.double(), expected, rtol=2e-3, atol=0)


# ---- Overflow: what is too large becomes the largest number, not infinity, and never NaN ----


@pytest.mark.parametrize('layer', ['gn', 'conv3x3'])
@pytest.mark.parametrize('name', ['EMA'])
def test_branches_that_overflow(name, layer):
    module = randomize(EMA(4, factor=2)).half().eval()
    with torch.no_grad():
        getattr(module, layer).weight.fill_(6e4)
        if layer == 'gn':
            # The means over the positions are the biases: without them nothing overflows.
            module.gn.bias.copy_(torch.tensor([LARGEST, -LARGEST]))
    x = (torch.rand(1, 4, 6, 5) * 100).half()
    assert module(x).isfinite().all()


@pytest.mark.parametrize('name', ['SKConv', 'SplitAttention'])
def test_weights_that_add_up_to_more_than_one(name):
    """The versions of the largest map are that map, and rounded weights can exceed 1."""
    torch.manual_seed(1)
    if name == 'SKConv':
        module = SKConv(64, groups=64, branches=3)
        convolutions = [path.conv for path in module.paths]
        norms = [path.bn for path in module.paths]
        select = module.attn.fc_select
    else:
        module = SplitAttention(64, radix=4, groups=16)
        convolutions, norms, select = [module.conv], [module.bn0], module.fc2
    for layer in (*convolutions, *norms):
        zero(layer)
    for norm in norms:
        nn.init.constant_(norm.bias, LARGEST)
    nn.init.normal_(select.weight, std=1e-5)
    if select.bias is not None:
        nn.init.normal_(select.bias)
    out = module.half().eval()(torch.ones(4, 64, 3, 3).half())
    assert (out <= LARGEST).all()
    assert (out == LARGEST).any()


@pytest.mark.parametrize('where', ['convolution', 'norm'])
@pytest.mark.parametrize('name', ['SKConv', 'SplitAttention'])
def test_versions_that_overflow(name, where):
    if name == 'SKConv':
        module = SKConv(32)
        convolution, norm = module.paths[0].conv, module.paths[0].bn
    else:
        module = SplitAttention(32)
        convolution, norm = module.conv, module.bn0
    nn.init.constant_((convolution if where == 'convolution' else norm).weight, 6e4)
    # A mean over infinity is NaN.
    module.half().train(where == 'convolution')
    assert module((torch.randn(2, 32, 4, 3) * 100).half()).isfinite().all()


# ---- What the words themselves do ----


class Operations(TorchDispatchMode):
    """Notes the names of what runs."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


INFINITE = [float('inf'), -float('inf'), 1.0, float('nan')]


@pytest.mark.parametrize('word', [saturate, lambda x: saturate_(x * 1)], ids=['copy', 'in place'])
def test_infinity_becomes_the_largest_number_and_nan_stays(word):
    x = torch.tensor(INFINITE).half().requires_grad_()
    out = word(x)
    assert out.tolist()[:3] == [LARGEST, -LARGEST, 1.0]
    assert out[3].isnan()
    # The same numbers in float32 have no largest one that they stay at.
    out.sum().backward()
    assert x.grad.tolist() == [1.0] * 4
    assert x.isinf().tolist() == [True, True, False, False]


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float32], ids=str)
def test_infinity_of_other_types_stays(dtype):
    x = torch.tensor(INFINITE[:2], dtype=dtype)
    assert saturate(x) is saturate_(x) is narrowed(x, dtype) is x
    assert x.isinf().all()


def test_what_is_not_kept_cannot_be_changed_unseen():
    """A sigmoid goes back from its result."""
    x = torch.zeros(3).half().requires_grad_()
    out = saturate_(x.sigmoid())
    with pytest.raises(RuntimeError, match='modified by an inplace operation'):
        out.sum().backward()


LAYERS = {
    'conv': lambda: nn.Conv2d(4, 4, 3, padding=1),
    'linear': lambda: nn.Linear(5, 5),
    'batch norm': lambda: nn.BatchNorm2d(4),
    'group norm': lambda: nn.GroupNorm(2, 4),
    'relu in place': lambda: nn.ReLU(inplace=True),
    'softplus': lambda: nn.Softplus(),
}


@pytest.mark.parametrize('name', LAYERS)
@pytest.mark.parametrize('training', [False, True])
def test_layers_on_a_map_go_back_as_they_do_alone(name, training):
    torch.manual_seed(0)
    layer = LAYERS[name]().half().train(training)
    x = torch.randn(2, 4, 6, 5).half()
    found = []
    for call in (layer, lambda x: on_map(layer, x)):
        leaf = x.clone().requires_grad_()
        # Of a copy, as the layer may change its input.
        out = call(leaf * 1)
        out.backward(torch.linspace(-1, 1, out.numel()).half().view_as(out))
        found.append((out, leaf.grad, *(p.grad.clone() for p in layer.parameters())))
        layer.zero_grad()
    for alone, other in zip(*found, strict=True):
        assert torch.equal(alone, other)


def test_convolution_keeps_nothing_but_its_input():
    layer, x = nn.Conv2d(4, 4, 3).half(), (torch.randn(1, 4, 6, 5) * 1e4).half().requires_grad_()
    layer.weight.data.mul_(100)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda x: x):
        out = convolved(layer, x)
    assert out.abs().max() == LARGEST
    assert {t.data_ptr() for t in kept} == {x.data_ptr(), layer.weight.data_ptr()}


def test_convolution_of_a_kind_that_keeps_its_result():
    """A class of one's own may go back from what it returns."""

    class Squashed(nn.Conv2d):
        def forward(self, x):
            return super().forward(x).sigmoid()

    x = torch.randn(1, 4, 6, 5).half().requires_grad_()
    convolved(Squashed(4, 4, 3).half(), x).sum().backward()
    assert x.grad.isfinite().all()


def operations_of(function, *tensors):
    with Operations() as operations:
        function(*tensors)
    return operations.names


@pytest.mark.parametrize(('training', 'clamps'), [(True, 1), (False, 2)], ids=['train', 'eval'])
def test_batch_norm_that_trains_is_not_clamped(training, clamps):
    layers = [nn.Conv2d(4, 4, 1).half(), nn.BatchNorm2d(4).train(training)]
    names = operations_of(lambda x: on_map(layers, x), torch.randn(2, 4, 6, 5).half())
    assert names.count('hardtanh_') == clamps


def test_batch_norm_that_trains_on_one_value_is_clamped():
    norm = nn.BatchNorm2d(4).half().train()
    nn.init.constant_(norm.weight, 6e4)
    assert (on_map(norm, torch.full((1, 4, 1, 1), 100.0).half()) == LARGEST).all()


def test_farthest_of_a_million_values_stays_in_the_range_of_a_batch_norm():
    x = torch.zeros(1, 1, 1000, 1000).half()
    x[..., 0, 0] = 6e4
    out = on_map(nn.BatchNorm2d(1).train(), x)
    assert 900 < out.max() < 1001


def test_relu_in_the_range_of_float16():
    x = torch.tensor([*INFINITE, 0.0, -1.0]).half().requires_grad_()
    assert operations_of(rectified, x.detach()) == ['clamp']
    out = rectified(x)
    assert out.tolist()[:3] == [LARGEST, 0.0, 1.0]
    assert out[3].isnan()
    # As a residual network does.
    out.add_(1)
    out.sum().backward()
    assert x.grad.tolist() == [1.0, 0.0, 1.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float32], ids=str)
def test_relu_of_other_types(dtype):
    x = torch.tensor([*INFINITE[:3], -1.0], dtype=dtype)
    assert torch.equal(rectified(x), x.relu())


SUMS = {
    'channels': (2, 6, 1, 1),
    'rows': (2, 6, 7, 1),
    'one number': (1,),
    'whole': (2, 6, 7, 5),
}


@pytest.mark.parametrize('layout', ['contiguous', 'channels last', 'mixed'])
@pytest.mark.parametrize('shape', SUMS.values(), ids=SUMS)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_sum_of_a_product(dtype, shape, layout):
    torch.manual_seed(0)
    x, y = torch.randn(2, 2, 6, 7, 5).to(dtype)
    if layout != 'contiguous':
        x = x.contiguous(memory_format=torch.channels_last)
    if layout == 'channels last':
        y = y.contiguous(memory_format=torch.channels_last)
    expected = (x.double() * y.double()).sum_to_size(shape)
    out = summed_product(x, y, torch.Size(shape), torch.float32)
    assert (out.dtype, out.shape) == (torch.float32, shape)
    slack = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(out.double(), expected, rtol=slack, atol=10 * slack)


def test_products_that_overflow_float16_are_summed_by_channel():
    x = torch.full((2, 3, 8, 8), 6e4).half()
    y = torch.cat([x[:, :1], -x[:, 1:]], 1)
    out = summed_product(x, y, torch.Size((2, 3, 1, 1)), torch.float32)
    exact = 64 * float(x[0, 0, 0, 0]) ** 2
    torch.testing.assert_close(out.flatten(1), torch.tensor([[exact, -exact, -exact]] * 2))


def test_sum_of_no_map():
    x = torch.zeros(0, 3, 8, 8).half()
    assert summed_product(x, x, torch.Size((0, 3, 1, 1)), torch.float32).shape == (0, 3, 1, 1)


def test_what_is_in_float32_is_called_as_it_is():
    layer, x = nn.Conv2d(4, 4, 1), torch.randn(1, 4, 2, 1)
    with Operations() as operations:
        out = in_float32(layer, x)
    assert operations.names == ['convolution']
    assert torch.equal(out, layer(x))


@pytest.mark.parametrize('how', ['autocast', 'half layer', 'half inputs', 'half statistics'])
def test_what_is_not_is_brought_there(how):
    layer, x = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)).eval(), torch.rand(2, 4, 3, 1)
    expected = layer(x)
    if how == 'half layer':
        layer = layer.bfloat16()
    elif how == 'half statistics':
        layer[1].running_var = layer[1].running_var.bfloat16()
    elif how == 'half inputs':
        x = x.bfloat16()
    with torch.autocast('cpu', torch.bfloat16, enabled=how == 'autocast'):
        out = in_float32(layer, x)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, expected, rtol=0.02, atol=0.02)
    if how == 'autocast':
        assert torch.equal(out, expected)


def test_the_gradient_of_a_half_weight_stays_in_its_range():
    layer = nn.Conv2d(1, 1, 1).half()
    in_float32(layer, torch.full((1, 1, 2, 2), 6e4)).sum().backward()
    assert layer.weight.grad.item() == torch.finfo(torch.float16).max
    assert layer.bias.grad.item() == 4


def test_functions_of_several_inputs_in_float32():
    x, y = torch.rand(3), torch.rand(3).bfloat16()
    with torch.autocast('cpu', torch.bfloat16):
        assert in_float32(torch.dot, x, y).dtype == torch.float32
    assert in_float32(torch.dot, x, y) == torch.dot(x, y.float())
    assert in_float32(torch.dot, x, x) == torch.dot(x, x)
