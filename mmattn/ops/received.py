"""How much of what all positions gather comes from each of them."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mmattn.ops.precision import widened


def received(gather: Callable[..., Tensor], maps: Sequence[Tensor], values: int) -> Tensor:
    """Average the weights that the values of each position have in what is gathered.

    What is gathered is linear in the values, so that its gradient for them is the sum of their
    weights. No matrix of all positions by all positions is built that ``gather`` itself does not
    build: time and memory are those of one step of a training.

    Args:
        gather: Function of ``maps`` whose result has the batch as its first axis.
        maps: Feature maps of shape (N, C, H, W); their channels may differ.
        values: Index of the one whose values are gathered.

    Returns:
        The mean over all numbers of the result, summed over the channels of the values:
        (N, 1, H, W), in float32, or in float64 if the values are. Where the weights of each
        position sum to one, these do so too.

    Example:
        >>> import torch
        >>> received(lambda x: x.flip(3) + x[..., :1], [torch.rand(1, 1, 1, 2)], values=0)
        tensor([[[[1.5000, 0.5000]]]])
    """
    with torch.inference_mode(False), torch.enable_grad():
        # Copies, as there is no gradient of what comes from inference mode.
        maps = [widened(x).clone() for x in maps]
        maps[values].requires_grad_()
        mean = gather(*maps).flatten(1).mean(1).sum()
        [grad] = torch.autograd.grad(mean, maps[values])
    return grad.sum(1, keepdim=True)
