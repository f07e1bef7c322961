"""Channels last, which costs a third less on the CPU for depthwise convolutions."""

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class ChannelsLast(Hook):
    """Lay the weights out with the channels last, so that all maps are, too."""

    def before_run(self, runner: Runner) -> None:
        """Change the layout, before a training or a test."""
        runner.model.to(memory_format=torch.channels_last)
