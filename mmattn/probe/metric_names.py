"""What the metrics of a validation are called, as far as their configs tell."""

from typing import Any

_OF_SEGMENTATION = {
    'mIoU': ('mIoU', 'mAcc'),
    'mDice': ('mDice', 'mAcc'),
    'mFscore': ('mFscore', 'mPrecision', 'mRecall'),
}
_OF_BOXES = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')


def metric_names(metric: Any, cfg: dict) -> set[str] | None:
    """Tell what a metric gives.

    Args:
        metric: Its class.
        cfg: Its config.

    Returns:
        The names, with their prefix; None if they are not known.
    """
    found = _bare_names(metric.__name__, cfg)
    prefix = cfg.get('prefix') or getattr(metric, 'default_prefix', None)
    return found and {f'{prefix}/{name}' if prefix else name for name in found}


def _bare_names(kind: str, cfg: dict) -> set[str] | None:
    if kind == 'IoUMetric':
        kinds = _listed(cfg.get('iou_metrics', 'mIoU'))
        names = [name for k in kinds for name in _OF_SEGMENTATION.get(k, ())]
        return {'aAcc', *names}
    if kind == 'CocoMetric':
        kinds = _listed(cfg.get('metric', 'bbox'))
        if cfg.get('classwise') or cfg.get('metric_items') or {*kinds} - {'bbox', 'segm'}:
            return None
        return {f'{kind}_{name}' for kind in kinds for name in _OF_BOXES}
    if kind == 'Accuracy' and not isinstance(cfg.get('thrs', 0.0), list | tuple):
        return {f'top{k}' for k in _listed(cfg.get('topk', 1))}
    return None


def _listed(value: Any) -> list:
    return [*value] if isinstance(value, list | tuple) else [value]
