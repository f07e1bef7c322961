"""Attention by scaled products, in the type of its maps and without a matrix of all pairs."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmattn.compat import at_least_float32, is_compiling, scores_overflow
from mmattn.ops.precision import in_float32
from mmattn.ops.transformed import is_transformed

# Up to here float32 tells one score from the next whole number.
_LARGEST_SCORE = 2.0**24


def dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, scale: float | None = None
) -> Tensor:
    """Average values by the softmax of the products of queries and keys.

    Scores and sums are in float32 whatever the type of the maps. PyTorch keeps neither scores nor
    weights: its backward pass computes them again. It has no second one;
    ``torch.nn.attention.sdpa_kernel(SDPBackend.MATH)`` has, at the cost of the matrix.

    Args:
        query: One row per position that gathers, (N, L, M).
        key: One row per position that is compared with, (N, K, M).
        value: What is gathered from there, (N, K, V).
        scale: What the products are multiplied by; None for one over the root of M.

    Returns:
        What each position gathers, (N, L, V).

    Example:
        >>> import torch
        >>> value = torch.tensor([[[1.0], [3.0]]])
        >>> dot_product_attention(torch.zeros(1, 1, 1), value, value)
        tensor([[[2.]]])
    """
    scale = query.shape[2] ** -0.5 if scale is None else scale
    if torch.is_grad_enabled():
        query = _bounded(query, key, scale)
    width = max(query.shape[2], value.shape[2])

    def attend(*maps: Tensor) -> Tensor:
        if not is_compiling() and is_transformed(maps[0]):
            # PyTorch 2.1 cannot transform what comes below.
            q, k, v = maps
            return (q @ k.transpose(1, 2) * scale).softmax(2) @ v
        # What has another width, or lies otherwise in memory, takes the way over the matrix.
        query, key, filled = [_widened(rows, width)[:, None].contiguous() for rows in maps]
        out = F.scaled_dot_product_attention(query, key, filled, scale=scale)
        return out[:, 0, :, : value.shape[2]]

    if scores_overflow(query.dtype):
        return in_float32(attend, query, key, value)
    return attend(query, key, value)


def _widened(rows: Tensor, width: int) -> Tensor:
    """Fill rows up with zeros, which change no product."""
    return F.pad(rows, (0, width - rows.shape[2])) if rows.shape[2] < width else rows


def _bounded(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """Shrink the queries of an image whose scores have no digits behind the point.

    The backward pass takes ``exp(score - log_sum)``. Rounded alone, both are far enough apart there
    for infinity; of such scores the softmax is zero or one anyway.
    """
    with torch.no_grad():
        dtype = at_least_float32(query.dtype)
        largest = [
            torch.linalg.vector_norm(rows, dim=2, keepdim=True, dtype=dtype).amax(1, keepdim=True)
            for rows in (query, key)
        ]  # (N, 1, 1)
        factor = (_LARGEST_SCORE / (largest[0] * largest[1] * scale)).clamp(max=1)
    return query * factor.to(query.dtype)
