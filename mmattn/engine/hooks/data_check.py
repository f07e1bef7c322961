"""What is wrong with the data of a runner is said before its first iteration."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import DataLoader

from mmattn.datasets.classes import explain_empty
from mmattn.datasets.names import first_of, visible
from mmattn.errors import InputError
from mmattn.probe.class_count import wrong_counts
from mmattn.probe.places import listed
from mmattn.probe.schedule_check import unfinished_warmup

# As many images are looked for among those that a metric knows.
_LOOKED_AT = 100


class DataCheck(Hook):
    """Compare the data that loops have loaded with each other, with the model and the metrics."""

    # Before whatever else takes time.
    priority = 'VERY_HIGH'

    def before_run(self, runner: Runner) -> None:
        """Look at each loop that is built.

        Raises:
            InputError: If a data loader has no batch, the warm-up is longer than the training,
                heads count other classes than the data have, or a metric does not know the images.
        """
        classes: dict[str, Any] = {}
        for mode in ('train', 'val', 'test'):
            loop = getattr(runner, f'_{mode}_loop')
            loader = getattr(loop, 'dataloader', None)
            if not isinstance(loop, BaseLoop) or loader is None:
                continue
            where = f'{mode}_dataloader'
            # A training has said so already, and what has no length is a stream.
            if mode != 'train' and hasattr(loader.dataset, '__len__') and not len(loader):
                raise no_batch(loader, where)
            if mode == 'train' and (warmup := unfinished_warmup(runner.cfg, len(loader))):
                raise InputError(warmup)
            metainfo = getattr(loader.dataset, 'metainfo', None) or {}
            _check_classes(runner, metainfo, f'{where}.dataset')
            if metainfo.get('classes'):
                classes[where] = list(metainfo['classes'])
            evaluator: Any = getattr(loop, 'evaluator', None)
            # One of another kind may have a metric for each of several data sets.
            for metric in evaluator.metrics if type(evaluator) is Evaluator else ():
                _check_images(metric, loader.dataset, mode)
                annotations = getattr(getattr(metric, '_coco_api', None), 'anns', None)
                # A file without any may be a test of which others know the result.
                if annotations == {} and not getattr(metric, 'format_only', False):
                    runner.logger.warning(
                        f'{mode}_evaluator.ann_file has no annotation: there is nothing to measure'
                    )
        train, val = classes.get('train_dataloader'), classes.get('val_dataloader')
        if train and val and train != val:
            runner.logger.warning(
                'train_dataloader.dataset and val_dataloader.dataset have other classes, or in '
                f'another order ({first_of(train)} and {first_of(val)}), so that a label means '
                'another class in one than in the other; give both the same metainfo.classes'
            )


@contextmanager
def empty_data_explained(loader: Any, where: str) -> Iterator[None]:
    """Say of a data set that nothing is in it, where to build it ends in an error of NumPy.

    Args:
        loader: The data loader, or its config.
        where: Its name in the whole config.

    Raises:
        InputError: If nothing is in it.
    """
    try:
        yield
    except ValueError as error:
        if 'need at least one array to concatenate' not in str(error):
            raise
        if not isinstance(loader, dict) or not isinstance(loader.get('dataset'), dict):
            raise
        raise InputError(explain_empty(loader['dataset'], f'{where}.dataset')) from error


def without_processes(loader: Any) -> Any:
    """Leave out of the config of a data loader what only its processes need, if it has none."""
    if not isinstance(loader, dict) or loader.get('num_workers', 0) != 0:
        return loader
    needless = ('persistent_workers', 'prefetch_factor', 'timeout', 'multiprocessing_context')
    return {option: value for option, value in loader.items() if option not in needless}


def no_batch(loader: DataLoader, where: str) -> InputError:
    """Say of a data loader that not one batch comes out of it, and why."""
    reason = 'its data set is empty; check its paths, and what filters it'
    if samples := len(loader.dataset):  # type: ignore[arg-type]  # streams do not come here
        reason = (
            f'{samples} samples, shared by all processes, are less than batch_size='
            f'{loader.batch_size} for each, and drop_last leaves them out; set {where}.batch_size '
            f'to less, or {where}.drop_last=False'
        )
    return InputError(f'config: {where} has no batch: {reason}')


def _check_classes(runner: Runner, metainfo: dict, where: str) -> None:
    classes = metainfo.get('classes')
    if isinstance(classes, str):
        raise InputError(
            f'{where}.metainfo.classes={classes!r} is a string, and no file of that name is there; '
            f'one class is ({classes!r},) with a comma'
        )
    model = runner.cfg.get('model')
    # What averages over augmentations stands around the model that the user has.
    while isinstance(model, dict) and 'module' in model:
        model = model['module']
    if not classes or not isinstance(model, dict):
        return
    wrong = wrong_counts(model, metainfo)
    if wrong:
        expected = wrong[0].expected
        keys = [f'{w.key}={w.given}' for w in wrong if w.expected == expected]
        raise InputError(
            f'{where} has {len(classes)} classes ({first_of(classes)}): expected {expected} in the '
            f'place of {listed(keys)}'
        )


def _check_images(metric: Any, dataset: Any, mode: str) -> None:
    """Look for the images of a data set in the annotations that a metric of COCO has loaded."""
    known = getattr(getattr(metric, '_coco_api', None), 'imgs', None)
    if not known or not hasattr(dataset, 'get_data_info') or not len(dataset):
        return
    for i in range(0, len(dataset), -(-len(dataset) // _LOOKED_AT)):
        info = dataset.get_data_info(i)
        found = info.get('img_id') if isinstance(info, dict) else None
        if found is not None and found not in known:
            raise InputError(
                f'{mode}_evaluator.ann_file does not have the image {visible(info.get("img_path"))}'
                f' (id {visible(found)}) of {mode}_dataloader.dataset; give it the ann_file of the '
                'data set'
            )
