"""Plug-ins of a ResNet train, whatever its norm_eval and frozen_stages say."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from mmattn.errors import InputError
from mmattn.layers.plugins import let_train, plugins_of


@HOOKS.register_module()
class KeepAttentionTraining(Hook):
    """Keep modules training that ``plugins`` of mmdet or mmseg put into a ResNet.

    Under ``norm_eval=True`` the batch norms of a plug-in would keep the statistics that they were
    built with, and in a frozen stage its random weights would stay what they are.
    ``custom_hooks = [dict(type='KeepAttentionTraining')]`` in a config lets them learn; the host
    stays as frozen as it was. What ``type='InsertAttention'`` put in needs no hook.

    In a frozen stage the plug-ins have to be known to the optimizer and to DDP from the start.
    :class:`mmattn.engine.runner.Runner` sees to it. Under another runner that works with one
    process and without ``paramwise_cfg``, and is an error otherwise.
    """

    def __init__(self) -> None:
        self._plugins: dict[str, nn.Module] | None = None
        self._frozen: list[str] = []

    def before_run(self, runner: Runner) -> None:
        """Find the plug-ins, and those that came frozen, before the host is trained or tested."""
        if self._plugins is None:
            self._plugins = plugins_of(runner.model)
            self._frozen = [
                name
                for name, plugin in self._plugins.items()
                if not all(p.requires_grad for p in plugin.parameters())
            ]

    def before_train(self, runner: Runner) -> None:
        """Check that what the plug-ins learn will reach them.

        Raises:
            InputError: If the optimizer does not hold their parameters, or DDP does not exchange
                their gradients.
        """
        assert self._plugins is not None, 'before_run comes first'
        if not self._plugins:
            runner.logger.warning('KeepAttentionTraining: the model has no plug-ins to keep')
        if is_model_wrapper(runner.model) and self._frozen:
            raise _too_late(self._frozen, 'the model was wrapped for several processes')
        wrapper = runner.optim_wrapper
        wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
        groups = [group for wrapper in wrappers for group in wrapper.param_groups]
        held = {id(p) for group in groups for p in group['params']}
        missing = [
            name
            for name, plugin in self._plugins.items()
            if not all(id(p) in held for p in plugin.parameters())
        ]
        if missing:
            raise _too_late(missing, 'the optimizer was built')

    def before_train_iter(self, *args: Any, **kwargs: Any) -> None:
        """Undo what the host's ``train()`` did to the plug-ins.

        Loops call it at the start of an epoch, after a validation, or in each iteration.
        """
        assert self._plugins is not None, 'before_run comes first'
        let_train(self._plugins)


class FrozenPluginWarning(Hook):
    """Name the plug-ins that do not train, once, in the first iteration."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self._is_done = False

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Look at what the host and the other hooks have left."""
        if self._is_done:
            return
        self._is_done = True
        names = [
            name
            for name, plugin in plugins_of(runner.model).items()
            if not all(module.training for module in plugin.modules())
            or not all(p.requires_grad for p in plugin.parameters())
        ]
        if names:
            runner.logger.warning(
                f'norm_eval or frozen_stages of the host keeps {_few(names)} from training; '
                "custom_hooks=[dict(type='KeepAttentionTraining')] lets them learn, and so does "
                "type='InsertAttention' instead of plugins"
            )


def _too_late(names: list[str], when: str) -> InputError:
    return InputError(
        f'KeepAttentionTraining: {_few(names)} still frozen when {when}; train with '
        "tools/train.py of mmattn, or put them in by type='InsertAttention' instead of plugins"
    )


def _few(names: list[str]) -> str:
    more = f' and {len(names) - 2} more' if len(names) > 2 else ''
    return f'{", ".join(names[:2])}{more}'
