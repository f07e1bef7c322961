"""A loss that is no number stops the training, or costs one step, and names its images."""

from typing import Any, Literal

import torch
from mmengine.dist import all_gather_object, all_reduce
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from mmattn.errors import InputError


@HOOKS.register_module()
class NonFiniteLossGuard(Hook):
    """Stop at a loss that is NaN or infinite, or leave that step of the optimizer out.

    ``custom_hooks = [dict(type='NonFiniteLossGuard', action='skip')]`` in a config is all. The
    message has the iteration and the images of the batch.

    The loss is looked at on the device before the backward pass, and the answer is waited for when
    the backward pass has been queued: that costs two small kernels an iteration, with several
    processes the exchange of one number. mmengine waits for the loss of every iteration
    anyway, to log it.

    A step is left out by all processes or none. Gradients accumulated for it go with it, the
    loss scale of mixed precision stays. What the forward pass has already written is not
    undone: running statistics of batch norm that took a NaN keep it, and then the next losses are
    NaN as well.

    Args:
        action: ``'stop'``, or ``'skip'`` to leave the step out.
        max_skips: Steps that may be left out in one run; one more stops it.

    Raises:
        ValueError: If ``action`` is none of these or ``max_skips`` is no positive number.
    """

    def __init__(self, action: Literal['stop', 'skip'] = 'stop', max_skips: int = 10) -> None:
        if action not in ('stop', 'skip'):
            raise ValueError(f"expected action 'stop' or 'skip', got {action!r}")
        if max_skips < 1:
            raise ValueError(f'expected max_skips of 1 or more, got {max_skips}')
        self.action = action
        self.max_skips = max_skips
        self.skips = 0
        self._batches = []

    def before_train(self, runner: Runner) -> None:
        """Put the guard in front of the steps of the optimizer."""
        wrapper = runner.optim_wrapper
        wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
        for wrapper in wrappers:
            self._guard(runner, wrapper)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | tuple | list | None = None
    ) -> None:
        """Keep the batches of the next step for their names."""
        self._batches.append(data_batch)

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Forget the batches of a step that is over."""
        if runner.optim_wrapper.should_update():
            self._batches.clear()

    def _guard(self, runner: Runner, wrapper: OptimWrapper) -> None:
        backward, step = wrapper.backward, wrapper.step
        finite = []

        def watched_backward(loss: Tensor, **kwargs: Any) -> None:
            finite.append(loss.detach().isfinite().all())
            backward(loss, **kwargs)

        def guarded_step(**kwargs: Any) -> None:
            # Over all losses whose gradients this step would take, in every process.
            here = torch.stack(finite).all().int()
            finite.clear()
            everywhere = here.clone()
            all_reduce(everywhere, op='min')
            if everywhere:
                step(**kwargs)
            else:
                self._object(runner, bool(here))

        wrapper.backward, wrapper.step = watched_backward, guarded_step

    def _object(self, runner: Runner, is_finite_here: bool) -> None:
        named = [] if is_finite_here else [name for b in self._batches for name in _names(b)]
        images = ', '.join(name for names in all_gather_object(named) for name in names)
        report = f'the loss is NaN or infinite at iteration {runner.iter + 1}; images: {images}'
        if self.action == 'stop':
            raise InputError(
                f'{report}; look at these, lower the learning rate, or leave such steps out with '
                "custom_hooks=[dict(type='NonFiniteLossGuard', action='skip')]"
            )
        self.skips += 1
        if self.skips > self.max_skips:
            raise InputError(f'{report}; {self.max_skips} steps have been left out already')
        runner.logger.warning(f'{report}; step left out, {self.skips} of at most {self.max_skips}')


def _names(data_batch: Any) -> list[str]:
    """Give the paths of the images of a batch."""
    samples = data_batch.get('data_samples', ()) if isinstance(data_batch, dict) else ()
    return [str(sample.get('img_path', 'unnamed')) for sample in samples]
