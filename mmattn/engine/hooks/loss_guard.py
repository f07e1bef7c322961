"""A loss that is no number costs one step, or stops the training, and its images are named."""

import math
from functools import wraps
from typing import Any, Literal

import torch
from mmengine.dist import all_gather_object, all_reduce
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper, OptimWrapper, OptimWrapperDict
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from mmattn.errors import InputError


@HOOKS.register_module()
class NonFiniteLossGuard(Hook):
    """Leave out the step of a loss that is NaN or infinite, and stop when there is no end to them.

    All configs of this package have it among their ``default_hooks``. The message has the iteration
    and the images of the batch; the checkpoints that are there stay, and no one is written whose
    weights are no numbers.

    The loss is looked at on the device before the backward pass and the gradients after it, except
    where mixed precision scales them: there infinite ones are ordinary, and its scaler leaves those
    steps out itself. The answer is waited for once an iteration, with several processes by the
    exchange of one number. mmengine waits for the loss of every iteration anyway, to log it.

    A step is left out by all processes or none. Gradients accumulated for it go with it, and the
    buffers, such as the running statistics of batch norm, get back what they had before it; the
    loss scale of mixed precision stays.

    Args:
        action: ``'skip'`` to leave such a step out, ``'stop'`` to stop at the first one.
        max_skips: Steps in a row that may be left out; one more stops the training.

    Raises:
        InputError: If ``action`` is none of these or ``max_skips`` is no positive number.
    """

    def __init__(self, action: Literal['stop', 'skip'] = 'stop', max_skips: int = 10) -> None:
        if action not in ('stop', 'skip'):
            raise InputError(f"expected action 'stop' or 'skip', got {action!r}")
        if not isinstance(max_skips, int) or max_skips < 1:
            raise InputError(f'expected max_skips of 1 or more, got {max_skips!r}')
        self.action = action
        self.max_skips = max_skips
        #: Steps in a row that have been left out.
        self.skips = 0
        self._batches: list[Any] = []
        self._buffers: list[Tensor] = []

    def before_train(self, runner: Runner) -> None:
        """Put the guard in front of the steps of the optimizer."""
        guards = [hook for hook in runner.hooks if isinstance(hook, NonFiniteLossGuard)]
        if self is not guards[-1]:
            # One of the config's own takes the place of the default one.
            return
        wrapper = runner.optim_wrapper
        wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
        for wrapper in wrappers:
            self._guard(runner, wrapper)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | tuple | list | None = None
    ) -> None:
        """Keep the batches of the next step for their names, and the buffers from before it."""
        if not self._batches:
            self._buffers = [buffer.detach().clone() for buffer in runner.model.buffers()]
        self._batches.append(data_batch)

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Forget the batches of a step that is over."""
        if runner.optim_wrapper.should_update():
            self._batches.clear()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Let no checkpoint of weights that are no numbers take the place of a good one.

        Raises:
            InputError: If there are such weights; it names one.
        """
        # With an average of the weights, these stand in its place and it in theirs.
        states = (checkpoint['state_dict'], checkpoint.get('ema_state_dict', {}))
        for name, value in (item for state in states for item in state.items()):
            is_weight = isinstance(value, Tensor) and value.is_floating_point()
            if is_weight and not value.isfinite().all():
                raise InputError(
                    f'{name} is NaN or infinite at iteration {runner.iter + 1}; no checkpoint is '
                    'written, and the ones before stay: go on with --resume and a lower learning '
                    'rate'
                )

    def _guard(self, runner: Runner, wrapper: OptimWrapper) -> None:
        backward, step = wrapper.backward, wrapper.step
        # Of mixed precision, infinite gradients are ordinary.
        scales = isinstance(wrapper, AmpOptimWrapper) and wrapper.loss_scaler.is_enabled()
        finite = []

        def watched_backward(loss: Tensor, **kwargs: Any) -> None:
            finite.append(loss.detach().isfinite().all())
            backward(loss, **kwargs)

        # With the mark by which schedules know that a step is counted.
        @wraps(step)
        def guarded_step(**kwargs: Any) -> None:
            # Over all losses whose gradients this step would take, in every process.
            loss = torch.stack(finite).all()
            finite.clear()
            here = torch.stack([loss, loss if scales else loss & _has_finite_gradients(wrapper)])
            everywhere = here.int()
            all_reduce(everywhere, op='min')
            loss_is_finite, all_is_finite = everywhere.tolist()
            if all_is_finite:
                self.skips = 0
                step(**kwargs)
            else:
                what = 'gradient' if loss_is_finite else 'loss'
                # Gradients are those of all processes together.
                self._object(runner, what, is_named=bool(loss_is_finite or not here[0]))

        wrapper.backward, wrapper.step = watched_backward, guarded_step

    def _object(self, runner: Runner, what: str, is_named: bool) -> None:
        named = [name for batch in self._batches for name in _names(batch)] if is_named else []
        images = ', '.join(name for names in all_gather_object(named) for name in names)
        report = f'the {what} is NaN or infinite at iteration {runner.iter + 1}; images: {images}'
        if self.action == 'stop':
            raise InputError(
                f'{report}; look at these, lower the learning rate, or leave such steps out with '
                "dict(type='NonFiniteLossGuard', action='skip')"
            )
        if self.skips >= self.max_skips:
            raise InputError(
                f'{report}; {self.skips} steps before it have been left out already; look at '
                'these, or go on from an earlier checkpoint with a lower learning rate'
            )
        self.skips += 1
        for buffer, before in zip(runner.model.buffers(), self._buffers, strict=True):
            buffer.data.copy_(before)
        runner.logger.warning(
            f'{report}; step left out, {self.skips} of at most {self.max_skips} in a row'
        )


def _has_finite_gradients(wrapper: OptimWrapper) -> Tensor:
    parameters = [p for group in wrapper.optimizer.param_groups for p in group['params']]
    gradients = [p.grad for p in parameters if p.grad is not None and not p.grad.is_sparse]
    # Of a sharded model each rank looks at its own part.
    gradients = [g.to_local() if hasattr(g, 'to_local') else g for g in gradients]
    gradients = [g for g in gradients if g.numel()]
    if not gradients:
        return torch.ones((), dtype=torch.bool)
    # The largest value, since a sum of squares may overflow.
    largest = torch._foreach_norm(gradients, ord=math.inf)
    return torch.stack([norm.float() for norm in largest]).isfinite().all()


def _names(data_batch: Any) -> list[str]:
    """Give the paths of the images of a batch."""
    samples = data_batch.get('data_samples', ()) if isinstance(data_batch, dict) else ()
    return [str(sample.get('img_path', 'unnamed')) for sample in samples]
