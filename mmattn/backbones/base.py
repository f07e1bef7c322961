"""What every backbone does: stage outputs, freezing, gradient checkpointing, published weights."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import ClassVar

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from mmattn.layers.checks import check_map, checked
from mmattn.weights.fit import fit_weights, note_aside
from mmattn.weights.layouts import register_backbone
from mmattn.weights.reading import read_weights


class Backbone(BaseModule):
    """Base of the backbones: which stages come out, which are frozen, how weights come in.

    A subclass builds the stages up to the last out index, sets ``out_channels``, calls
    :meth:`freeze` and computes its maps in :meth:`extract`.

    Args:
        out_indices: Indices of the stages whose maps are returned, in rising order.
        num_stages: Number of out indices that the network has.
        norm_eval: Whether batch norm layers keep their running statistics while training.
        with_cp: Whether blocks are recomputed in the backward pass, which saves memory.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`;
            ``dict(type='Pretrained', checkpoint=...)`` takes published weights as they are. Those
            of another architecture are refused, unless it has ``strict_pretrained=False``.

    Raises:
        ValueError: If ``out_indices`` name a stage that does not exist, or an option of a subclass
            is not what its annotation says, see :func:`mmattn.layers.checks.checked`.
    """

    role = 'backbone'
    """What it is to the network around it, for whoever reports on weights."""

    in_channels = 3
    """Channels of the image."""

    out_channels: tuple[int, ...]
    """Channels of the returned maps, one per out index."""

    slot: str
    """Name of the exchangeable attention module in every block."""

    layouts: ClassVar[dict[str, str]] = {}
    """Layouts in which the weights are published, each with a pattern that fits one of its keys
    from the beginning; see :func:`mmattn.weights.layouts.recognise`."""

    def __init_subclass__(cls, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        if '__init__' in cls.__dict__:
            cls.__init__ = checked(cls.__init__)  # type: ignore[method-assign]
        register_backbone(cls.__dict__.get('layouts', {}), cls.own_key)

    def __init__(
        self,
        *,
        out_indices: Sequence[int],
        num_stages: int,
        norm_eval: bool,
        with_cp: bool,
        init_cfg: dict | list[dict] | None,
    ) -> None:
        super().__init__(init_cfg)
        out_indices = tuple(out_indices)
        in_range = all(0 <= index < num_stages for index in out_indices)
        if not out_indices or not in_range or sorted(set(out_indices)) != list(out_indices):
            raise ValueError(
                f'expected out_indices in rising order from 0 to {num_stages - 1}, '
                f'got {out_indices}'
            )
        self.out_indices = out_indices
        self.norm_eval = norm_eval
        self.with_cp = with_cp

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the maps of the stages in ``out_indices``.

        Raises:
            ValueError: If ``x`` is not of shape (N, ``in_channels``, H, W), has no row or no
                column, or does not consist of floating-point numbers.
        """
        check_map(self, x, self.in_channels)
        return self.extract(x)

    @abstractmethod
    def extract(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps of the stages in ``out_indices`` from (N, C, H, W)."""

    @abstractmethod
    def stages(self) -> list[list[nn.Module]]:
        """List the modules of each stage that was built."""

    @staticmethod
    def own_key(key: str) -> str:
        """Give the name that a published ``key`` has here."""
        return key

    @staticmethod
    def is_optional(key: str) -> bool:
        """Tell whether ``key``, by its name here, belongs to a part that may be left out."""
        return False

    @staticmethod
    def part(key: str) -> str:
        """Name the module that is built or left out as a whole and holds ``key``."""
        return key.split('.')[0]

    def freeze(self, frozen_stages: int) -> None:
        """Put stages into evaluation for good, without gradients.

        Args:
            frozen_stages: Last index in :meth:`stages` to freeze; -1 freezes none.

        Raises:
            ValueError: If there is no such stage.
        """
        stages = self.stages()
        if not -1 <= frozen_stages < len(stages):
            raise ValueError(
                f'expected frozen_stages from -1 to {len(stages) - 1}, the last stage in use, '
                f'got {frozen_stages}'
            )
        self.frozen_stages = frozen_stages
        for stage in stages[: frozen_stages + 1]:
            for module in stage:
                module.eval()
                module.requires_grad_(False)

    def train(self, mode: bool = True) -> 'Backbone':
        """Switch between training and evaluation; what is frozen stays in evaluation."""
        super().train(mode)
        self.freeze(self.frozen_stages)
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def run(self, block: nn.Module, x: Tensor) -> Tensor:
        """Apply ``block`` to ``x``; under ``with_cp`` without keeping what lies in between.

        Args:
            block: Module with one input and one output.
            x: Its input.

        Returns:
            ``block(x)``, with the same gradients and batch norm statistics either way.
        """
        if not (self.with_cp and self.training and torch.is_grad_enabled()):
            return block(x)
        return checkpoint(
            block,
            x,
            use_reentrant=False,
            context_fn=lambda: (nullcontext(), _statistics_kept(block)),
        )

    def init_weights(self) -> None:
        """Initialize the weights.

        Raises:
            InputError: If ``init_cfg`` names a checkpoint of another architecture.
        """
        cfg = self.init_cfg
        if not isinstance(cfg, dict) or cfg['type'] != 'Pretrained':
            super().init_weights()
            return
        weights = read_weights(cfg['checkpoint']).under(cfg.get('prefix', 'backbone.'))
        fit = fit_weights(weights, self)
        fit.refuse_or_report(pretrained=True, strict=cfg.get('strict_pretrained', True))
        fit.load()
        self._is_init = True

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        aside = []
        built = {name for name, _ in self.named_modules()}
        for key in [key for key in state_dict if key.startswith(prefix)]:
            own = self.own_key(key.removeprefix(prefix))
            value = state_dict.pop(key)
            if self.is_optional(own) and self.part(own) not in built:
                aside.append(key)
            else:
                state_dict[prefix + own] = value
        if aside and not note_aside([key.removeprefix(prefix) for key in aside]):
            names = sorted({self.part(key.removeprefix(prefix)) for key in aside})
            print_log(
                f'{type(self).__name__}: {len(aside)} tensors set aside, their parts are not '
                f'built here ({", ".join(names)})',
                logger='current',
            )
        super()._load_from_state_dict(state_dict, prefix, *args)


@contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    """Keep batch norm from counting a batch twice while the block is recomputed."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
