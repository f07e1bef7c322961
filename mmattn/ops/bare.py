"""Whether a module computes what its class does and nobody listens to it."""

from torch import nn


def is_bare(module: nn.Module) -> bool:
    """Tell whether a module may be computed without being called.

    It may not where a hook would be left out, or where somebody has put another ``forward`` into
    it. One that only looks on, as that of :func:`mmattn.probe.running.follow` does, says so by an
    attribute ``only_watches``. Who asks looks at the class, too: an adapter, a parametrization or
    an exchanged module has one of its own.
    """
    hooks = (
        module._forward_pre_hooks,
        module._forward_hooks,
        module._backward_pre_hooks,
        module._backward_hooks,
    )
    own = module.__dict__.get('forward')
    return not any(hooks) and (own is None or getattr(own, 'only_watches', False))
