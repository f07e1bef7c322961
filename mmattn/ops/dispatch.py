"""Who computes an op: its plain version or a fused kernel."""

from typing import Literal

Impl = Literal['auto', 'reference', 'fused']


def check_impl(op: str, impl: Impl) -> None:
    """Let the plain version of an op run, or say why the request for ``impl`` cannot be met.

    Args:
        op: Name of the op, for the message.
        impl: ``'auto'`` and ``'reference'`` both mean the plain version as long as it is the only
            one.

    Raises:
        ValueError: If ``impl`` is none of the three words.
        RuntimeError: If ``impl`` is ``'fused'``: no op has a fused kernel yet, and an explicit
            request never falls back.
    """
    if impl in ('auto', 'reference'):
        return
    if impl != 'fused':
        raise ValueError(f"expected impl 'auto', 'reference' or 'fused', got {impl!r}")
    raise RuntimeError(
        f"impl='fused' cannot run: {op} has no fused kernel in this version of mmattn; "
        "use 'auto' or 'reference'"
    )
