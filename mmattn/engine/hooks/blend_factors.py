"""How far a training takes up the modules that start as the identity."""

from typing import Any, cast

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn

from mmattn.errors import InputError
from mmattn.layers.blend import Blended

# A gate is at most 1, so that a factor of this size moves its map by at most this share.
_SMALL = 0.1
# With a learning rate of 1e-3, Adam needs so many steps to get there.
_SHORT = 100


@HOOKS.register_module()
class BlendFactorHook(Hook):
    """Record the blend factors of a training, and warn at its end where few of them rose.

    Every module with ``start='identity'`` is blended into its host by a factor that starts at zero.
    Where it stays there the model is as good as one without the module, and says nothing about it.
    The warning comes where more than half of the factors end within 0.1 of zero.

    :class:`mmattn.engine.runner.Runner` has this hook; under another runner it is one of
    ``custom_hooks``. The factors are ``blend/NAME`` among the scalars of mmengine's message hub, so
    in each checkpoint, and in what the visualizer writes. Of a factor for each channel it is the
    mean of the magnitudes. A training of less than 100 iterations gets no warning.

    Args:
        interval: Iterations from one record to the next; the end of the training is recorded, too.

    Raises:
        InputError: If ``interval`` is no positive number.
    """

    # After whatever changes the weights.
    priority = 'VERY_LOW'

    def __init__(self, interval: int = 50) -> None:
        if type(interval) is not int or interval < 1:
            raise InputError(f'BlendFactorHook: expected interval of 1 or more, got {interval!r}')
        self.interval = interval
        self._factors: dict[str, nn.Parameter] = {}

    def before_train(self, runner: Runner) -> None:
        """Find the factors."""
        model = runner.model
        while is_model_wrapper(model):
            model = cast(nn.Module, model.module)
        self._factors = {
            name: module.blend
            for name, module in model.named_modules()
            if isinstance(module, Blended) and module.blend is not None
        }

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Record them now and then, and after the last iteration."""
        is_due = self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner)
        if self._factors and is_due:
            scalars = {f'blend/{name}': value for name, value in self._values().items()}
            for name, value in scalars.items():
                runner.message_hub.update_scalar(name, value)
            runner.visualizer.add_scalars(scalars, step=runner.iter + 1)

    def after_train(self, runner: Runner) -> None:
        """Say so where the training has left the host almost as it was without the modules."""
        if not self._factors or runner.iter < _SHORT:
            return
        sizes = [abs(value) for value in self._values().values()]
        small = sum(size < _SMALL for size in sizes)
        if 2 * small > len(sizes):
            runner.logger.warning(
                f'after {runner.iter} iterations {small} of {len(sizes)} modules with '
                f"start='identity' have a blend factor within {_SMALL} of zero, and the largest is "
                f'{max(sizes):.2g}: '
                'there the model is what it is without them, so that its score says little about '
                'them; train longer, or let the factors learn faster: '
                "optim_wrapper.paramwise_cfg=dict(custom_keys={'.blend': dict(lr_mult=100)})"
            )

    def _values(self) -> dict[str, float]:
        """Read the factors, which waits for the device once."""
        whole = [_whole(factor.detach()).float() for factor in self._factors.values()]
        values = [f.flatten()[0] if f.numel() == 1 else f.abs().mean() for f in whole]
        return dict(zip(self._factors, torch.stack(values).tolist(), strict=True))


def _whole(tensor: Tensor) -> Tensor:
    """Gather what is sharded; all ranks do."""
    return tensor.full_tensor() if hasattr(tensor, 'full_tensor') else tensor
