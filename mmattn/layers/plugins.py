"""What ``plugins`` of mmdet and mmseg put into a ResNet."""

from typing import cast

from mmengine.model import is_model_wrapper
from torch import nn

# Where the bottlenecks of mmdet and mmseg keep the names of their plug-ins.
_LISTS = ('after_conv1_plugin_names', 'after_conv2_plugin_names', 'after_conv3_plugin_names')


def plugins_of(model: nn.Module) -> dict[str, nn.Module]:
    """Find what ``plugins`` of mmdet and mmseg put into a model, by name."""
    while is_model_wrapper(model):
        model = cast(nn.Module, model.module)
    return {
        f'{name}.{plugin}'.removeprefix('.'): getattr(block, plugin)
        for name, block in model.named_modules(remove_duplicate=False)
        for plugins in _LISTS
        for plugin in getattr(block, plugins, ())
    }


def let_train(plugins: dict[str, nn.Module]) -> None:
    """Put modules into training, and their parameters as well."""
    for plugin in plugins.values():
        plugin.train()
        plugin.requires_grad_(True)
