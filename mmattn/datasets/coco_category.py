"""One category of COCO as label maps, drawn from the masks of its instances."""

from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, TRANSFORMS

from mmattn.datasets.audit.coco_category import check_masks, describe_category
from mmattn.datasets.audit.faults import Fault
from mmattn.datasets.names import visible
from mmattn.errors import InputError
from mmattn.layers.packages import import_optional

CATEGORY = 1  # Its label; all that is not the category has 0.
_IGNORED = 255  # What mmseg's losses and metrics leave out.


@DATASETS.register_module()
class COCOCategoryDataset(BaseDataset):
    """The images of COCO that show one category, which is segmented from everything else.

    Annotation files of instances are read as they are published; label maps are drawn from them by
    :class:`LoadCategoryMap`. AFF's paper segments stop signs like this.

    Args:
        ann_file: Annotation file of instances, below ``data_root``.
        metainfo: ``dict(classes=(BACKGROUND, CATEGORY))`` with the category as the file calls it,
            for another one than stop signs.
        data_prefix: ``dict(img=FOLDER)``, the folder of its images, below ``data_root``.
        kwargs: Other options of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        InputError: If there are not two classes, or the file is missing, damaged or without the
            category, or says of one of these images or of a mask on it what cannot be drawn.
    """

    METAINFO: ClassVar[dict] = dict(
        classes=('background', 'stop sign'), palette=[[0, 0, 0], [220, 20, 60]]
    )

    def load_data_list(self) -> list[dict]:
        """List the images that show the category, each with the masks of its instances."""
        classes = self.metainfo['classes']
        if isinstance(classes, str) or len(classes) != 2:
            raise InputError(
                'COCOCategoryDataset: expected metainfo.classes of the background and one '
                f'category, got {classes!r}'
            )
        faults: list[Fault] = []
        folder = Path(self.data_prefix.get('img', self.data_root))
        described = describe_category(
            Path(self.ann_file), folder, classes[CATEGORY], faults, is_own=True
        )
        for path, descriptions in described.items():
            faults += check_masks(path, descriptions)
        for fault in faults:
            if not fault.is_warning:
                raise InputError(
                    f'{visible(fault.place)} ({fault.kind}); correct the file, or download it again'
                )
        return [
            dict(
                img_path=str(path),
                width=about.size[0],
                height=about.size[1],
                instances=[
                    dict(mask=a['segmentation'], ignore_flag=int(a.get('iscrowd', 0)))
                    for a in about.annotations
                ],
                seg_fields=[],
            )
            for path, descriptions in described.items()
            for about in descriptions
        ]


@TRANSFORMS.register_module()
class LoadCategoryMap(BaseTransform):
    """Draw the segmentation map of an image from the masks in ``results['instances']``.

    What shows an instance has label 1, everything else 0. The mask of a crowd encloses what is
    between its members as well: what is in it alone has 255, which losses and metrics leave out.
    An image without ``instances``, as an inferencer gives it, stays without a map.

    Raises:
        InputError: If the image has another size than its annotations say, or pycocotools is
            missing.
    """

    def __init__(self) -> None:
        _pycocotools()

    def transform(self, results: dict) -> dict:
        """Add ``gt_seg_map`` of shape (H, W), uint8, in the size of the image as it was loaded."""
        if 'instances' not in results:
            return results
        height, width = results['ori_shape']
        if (width, height) != (results['width'], results['height']):
            raise InputError(
                f'image {visible(results["img_path"])} is {width}x{height} pixels, its annotations '
                f'are for {results["width"]:g}x{results["height"]:g}; expected the same size'
            )
        labels = np.zeros((height, width), np.uint8)
        # Members of a crowd may have masks of their own.
        for instance in sorted(results['instances'], key=lambda one: -one['ignore_flag']):
            mask = _draw(instance['mask'], height, width)
            labels[mask] = _IGNORED if instance['ignore_flag'] else CATEGORY
        results['gt_seg_map'] = labels
        results['seg_fields'].append('gt_seg_map')
        return results

    def __repr__(self) -> str:
        """Show that there are no options."""
        return f'{type(self).__name__}()'


def _draw(segmentation: list | dict, height: int, width: int) -> np.ndarray:
    """Draw the polygons or the run lengths of an instance as a mask of shape (H, W)."""
    masks = _pycocotools()
    runs: Any = segmentation
    if isinstance(segmentation, list):
        runs = masks.merge(masks.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation['counts'], list):
        runs = masks.frPyObjects(segmentation, height, width)
    return masks.decode(runs).astype(bool)


def _pycocotools() -> ModuleType:
    return import_optional('pycocotools.mask', 'LoadCategoryMap')
