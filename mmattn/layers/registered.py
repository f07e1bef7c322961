"""What the registries of models hold, those of other packages included."""

import inspect

from mmengine.registry import MODELS, Registry


def registered(base: type, registry: Registry = MODELS) -> dict[str, type]:
    """Find the subclasses of a class that a config can name.

    Args:
        base: The class.
        registry: Where to look, and in all that are derived from it.

    Returns:
        Each class by its ``type``: ``Name``, or ``package.Name`` for what a package holds in a
        registry of its own.
    """
    scope = '' if registry is MODELS else f'{registry.scope}.'
    found = {
        f'{scope}{name}': kind
        for name, kind in registry.module_dict.items()
        if inspect.isclass(kind) and issubclass(kind, base)
    }
    for child in registry.children.values():
        found |= registered(base, child)
    return found
