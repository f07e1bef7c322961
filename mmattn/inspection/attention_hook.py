"""What attention does to the first images of a validation, drawn beside the other curves."""

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from mmattn.errors import InputError
from mmattn.inspection.gates import Seen, watching
from mmattn.inspection.sites import attention_sites, blend_factors
from mmattn.layers.packages import import_optional


@HOOKS.register_module()
class AttentionVisualizationHook(Hook):
    """Draw the gates of the first images of a validation into mmengine's Visualizer.

    The pictures are those of ``mmattn visualize``: in the work dir, in TensorBoard, in wandb, as
    the backends of the visualizer are. They are drawn by the first process alone, from the forward
    passes of the validation itself, so that nothing is computed twice but the gates, and the
    training goes on as it would without the hook, bit for bit.

    Args:
        images: How many images of a validation are drawn, the first ones.
        interval: Every how many validations of this run; the first one is drawn, too.
        site: Regular expression for the names of the modules, as ``--site`` of the command.

    Raises:
        InputError: If ``images`` or ``interval`` is no positive number.
    """

    def __init__(self, images: int = 2, interval: int = 1, site: str = '.*') -> None:
        for name, value in (('images', images), ('interval', interval)):
            if not isinstance(value, int) or value < 1:
                raise InputError(
                    f'AttentionVisualizationHook expected {name} of 1 or more, got {value!r}'
                )
        import_optional('matplotlib', type(self).__name__)
        self.images = images
        self.interval = interval
        self.site = site
        self._validations = 0
        #: Images that are still to be drawn in this validation.
        self._left = 0
        self._watch = ExitStack()
        self._seen: list[Seen] = []

    def before_train(self, runner: Runner) -> None:
        """Look for the modules, before the training takes its time.

        Raises:
            InputError: If the model has none, or none of such a name, or if it is sharded.
        """
        attention_sites(runner.model, self.site)
        # To put its parameters together takes all processes, and one draws.
        if any(hasattr(parameter, 'to_local') for parameter in runner.model.parameters()):
            raise InputError(
                'AttentionVisualizationHook cannot look into a sharded model; leave it out, and '
                'call mmattn visualize on a checkpoint'
            )

    def before_val_epoch(self, runner: Runner) -> None:
        """See whether this validation is one to draw."""
        is_due = self._validations % self.interval == 0
        self._validations += 1
        self._left = self.images if is_due and is_main_process() else 0

    def before_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | tuple | list | None = None
    ) -> None:
        """Begin to look."""
        if self._left:
            sites = attention_sites(runner.model, self.site)
            watch = watching(runner.model, sites, self._left)
            self._seen = self._watch.enter_context(watch)

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | tuple | list | None = None,
        outputs: Any = None,
    ) -> None:
        """Draw what was seen, and look no more."""
        self._watch.close()
        if not self._left:
            return
        if not self._seen:
            runner.logger.warning(
                'AttentionVisualizationHook has seen no attention at work in this validation; '
                'what torch.compile has compiled cannot be watched'
            )
        from mmattn.inspection.pictures import pages

        names = _names(data_batch, self._left)
        for i, name in enumerate(names):
            seen = [each for each in self._seen if each.index == i]
            for number, page in enumerate(pages(seen, name), 1):
                _add(runner, f'attention_{_plain(name)}_{number}', page)
        self._left -= len(names)
        self._seen = []

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Draw how much of each module has been taken up."""
        is_due = (self._validations - 1) % self.interval == 0
        factors = blend_factors(runner.model) if is_due and is_main_process() else {}
        if factors:
            from mmattn.inspection.pictures import draw_blend

            _add(runner, 'attention_blend', draw_blend(factors))


def _names(data_batch: Any, count: int) -> list[str]:
    samples = data_batch.get('data_samples', ()) if isinstance(data_batch, dict) else ()
    return [
        Path(getattr(sample, 'img_path', None) or f'image {i + 1}').name
        for i, sample in enumerate(samples[:count])
    ]


def _plain(name: str) -> str:
    """Leave of a name what may be the name of a file."""
    return re.sub(r'[^\w-]', '_', Path(name).stem)[:80]


def _add(runner: Runner, name: str, figure: Any) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = np.asarray(canvas.buffer_rgba())[..., :3]
    runner.visualizer.add_image(name, np.ascontiguousarray(picture), step=runner.iter)
