"""What one operation of PyTorch costs, by its name and the shapes of its tensors.

docs/complexity.md has the convention in words.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch import Tensor


class Cost(NamedTuple):
    """What was computed.

    Args:
        multiply_adds: Of convolutions and matrix products.
        operations: Of everything else: additions, products, comparisons and functions of numbers.
        activations: Numbers that convolutions and matrix products gave.
    """

    multiply_adds: int = 0
    operations: int = 0
    activations: int = 0

    def plus(self, other: 'Cost') -> 'Cost':
        """Add what else was computed."""
        return Cost(*map(sum, zip(self, other, strict=True)))


def cost_of(operation: Any, args: Sequence[Any], out: Any) -> Cost:
    """Tell what an operation cost, whatever it is.

    Args:
        operation: What a ``TorchDispatchMode`` is given, such as ``torch.ops.aten.mm.default``.
        args: Its positional arguments.
        out: What it gave.
    """
    result = out[0] if isinstance(out, list | tuple) and out else out
    if not isinstance(result, Tensor) or is_view(operation):
        return Cost()
    # What works in place costs as much.
    name = operation._schema.name.partition('::')[2].rstrip('_')
    if name in _PRODUCTS:
        first = _PRODUCTS[name]
        left, right = args[first : first + 2]
        multiply_adds = left.numel() * (right.shape[-1] if right.ndim > 1 else 1)
        return Cost(multiply_adds, result.numel() if first else 0, result.numel())
    if 'convolution' in name:
        return _convolution(args, result)
    if name.startswith('_scaled_dot_product'):
        query, key, value = args[:3]
        return _dot_product_attention(query, key, value, result)
    if name in _MOVES:
        return Cost()
    return Cost(operations=_RULES.get(name, _elementwise)(name, args, result))


def is_view(operation: Any) -> bool:
    """Tell whether an operation gives values that are there already, in another shape.

    Args:
        operation: As of :func:`cost_of`.
    """
    aliases = [value.alias_info for value in operation._schema.returns]
    return any(alias is not None and not alias.is_write for alias in aliases)


# Matrix products, and where their two factors stand; what stands before is added.
_PRODUCTS = {'mm': 0, 'bmm': 0, 'mv': 0, 'dot': 0, 'addmm': 1, 'baddbmm': 1, 'addmv': 1}


def _convolution(args: Sequence[Any], out: Tensor) -> Cost:
    x, weight, bias = args[:3]
    transposed = len(args) > 6 and args[6] is True
    positions = math.prod((x if transposed else out).shape[2:])
    bias_additions = out.numel() if bias is not None else 0
    return Cost(out.shape[0] * positions * weight.numel(), bias_additions, out.numel())


def _dot_product_attention(query: Tensor, key: Tensor, value: Tensor, out: Tensor) -> Cost:
    """Count two products, and the scale and the softmax between them."""
    scores = query.numel() // query.shape[-1] * key.shape[-2]
    multiply_adds = scores * (query.shape[-1] + value.shape[-1])
    return Cost(multiply_adds, scores * (1 + _SOFTMAX), scores + out.numel())


# What writes numbers that are there already, or that nobody computes.
_MOVES = {
    *('clone', 'copy', '_to_copy', 'contiguous', '_unsafe_view', 'cat', 'stack'),
    *('constant_pad_nd', 'repeat'),
    *('reflection_pad1d', 'reflection_pad2d', 'replication_pad1d', 'replication_pad2d'),
    *('index', 'index_select', 'index_put', '_index_put_impl', 'gather', 'scatter', 'take'),
    *('embedding', 'roll', 'flip', 'where', 'masked_fill', 'tril', 'triu', 'fill', 'zero'),
    *('empty', 'empty_like', 'empty_strided', 'zeros', 'zeros_like', 'ones', 'ones_like'),
    *('full', 'full_like', 'new_empty', 'new_empty_strided', 'new_zeros', 'new_ones', 'new_full'),
    *('arange', 'linspace', 'eye', 'scalar_tensor', 'lift_fresh', 'lift_fresh_copy', 'im2col'),
    *('pixel_shuffle', 'pixel_unshuffle', 'channel_shuffle', 'resize', 'set', 'repeat_interleave'),
    *('upsample_nearest1d', 'upsample_nearest2d', 'upsample_nearest3d', 'max_unpool2d'),
    *('rand', 'randn', 'rand_like', 'randn_like', 'randint', 'randperm', 'bernoulli', 'uniform'),
}

Rule = Callable[[str, Sequence[Any], Tensor], int]


def _elementwise(name: str, args: Sequence[Any], out: Tensor) -> int:
    """Count one for each number of the result; the rule for whatever has no other."""
    return out.numel()


def _each_result(times: int) -> Rule:
    return lambda name, args, out: times * out.numel()


def _each_input(times: int) -> Rule:
    return lambda name, args, out: times * _first_tensor(args).numel()


def _first_tensor(args: Sequence[Any]) -> Tensor:
    first = args[0]
    return first if isinstance(first, Tensor) else first[0]


# Largest number, subtraction, exponential, sum and division.
_SOFTMAX = 5
# Mean; subtraction, square and sum.
_STATISTICS = 4
# Subtraction and product, which become one factor and one summand where they are known before.
_SCALE_AND_SHIFT = 2


def _batch_norm(name: str, args: Sequence[Any], out: Tensor) -> int:
    in_training = any(arg is True for arg in args)
    return out.numel() * (_SCALE_AND_SHIFT + (_STATISTICS if in_training else 0))


def _norm_of_sample(name: str, args: Sequence[Any], out: Tensor) -> int:
    weight = args[2] if name == 'native_layer_norm' else args[1]
    affine = _SCALE_AND_SHIFT if weight is not None else 0
    return out.numel() * (_STATISTICS + _SCALE_AND_SHIFT + affine)


def _pool(name: str, args: Sequence[Any], out: Tensor) -> int:
    """Count the numbers in all windows, those of the padding too."""
    axes = int(name[name.index('pool') + 4])
    kernel = args[1] if isinstance(args[1], list | tuple) else [args[1]]
    return out.numel() * math.prod(kernel) ** (axes if len(kernel) == 1 else 1)


def _adaptive_pool(name: str, args: Sequence[Any], out: Tensor) -> int:
    """Count the numbers in all windows, which overlap where the sizes do not divide."""
    axes = int(name[name.index('pool') + 4])
    x = _first_tensor(args)
    windows = 1
    for size, target in zip(x.shape[-axes:], out.shape[-axes:], strict=True):
        windows *= sum(-(-(i + 1) * size // target) - i * size // target for i in range(target))
    return windows * math.prod(out.shape[:-axes])


_RULES: dict[str, Rule] = {
    **dict.fromkeys(
        ('sum', 'mean', 'amax', 'amin', 'max', 'min', 'argmax', 'argmin', 'prod', 'any', 'all'),
        _each_input(1),
    ),
    # Square and sum.
    'linalg_vector_norm': _each_input(2),
    'norm': _each_input(2),
    **dict.fromkeys(('var', 'var_mean', 'std', 'std_mean'), _each_input(_STATISTICS)),
    '_softmax': _each_result(_SOFTMAX),
    '_log_softmax': _each_result(_SOFTMAX),
    'logsumexp': _each_input(_SOFTMAX - 1),
    'addcmul': _each_result(2),
    'addcdiv': _each_result(2),
    'lerp': _each_result(3),
    **dict.fromkeys(
        (
            *('native_batch_norm', 'cudnn_batch_norm', 'miopen_batch_norm'),
            *('_native_batch_norm_legit', '_native_batch_norm_legit_no_training'),
            *('_batch_norm_no_update', '_batch_norm_with_update'),
        ),
        _batch_norm,
    ),
    'native_layer_norm': _norm_of_sample,
    'native_group_norm': _norm_of_sample,
    **dict.fromkeys(
        (
            *('avg_pool1d', 'avg_pool2d', 'avg_pool3d'),
            *('max_pool2d_with_indices', 'max_pool3d_with_indices'),
        ),
        _pool,
    ),
    **dict.fromkeys(
        (
            *('_adaptive_avg_pool2d', '_adaptive_avg_pool3d'),
            *('adaptive_max_pool2d', 'adaptive_max_pool3d'),
        ),
        _adaptive_pool,
    ),
    # A weighted sum of 2, 4, 8 or 16 neighbours.
    'upsample_linear1d': _each_result(3),
    'upsample_bilinear2d': _each_result(7),
    '_upsample_bilinear2d_aa': _each_result(7),
    'grid_sampler_2d': _each_result(7),
    'upsample_trilinear3d': _each_result(15),
    'grid_sampler_3d': _each_result(15),
    'upsample_bicubic2d': _each_result(31),
    '_upsample_bicubic2d_aa': _each_result(31),
}
