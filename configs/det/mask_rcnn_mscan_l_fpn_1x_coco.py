# Mask R-CNN + MSCAN-L on COCO, 12 epochs. SegNeXt has no detector; the recipe is that of VAN, of
# the same skeleton, with the drop path rate of its segmentor. Not measured here.
_base_ = [
    '../_base_/models/mask_rcnn_mscan_fpn.py',
    '../_base_/datasets/coco_instance.py',
    '../_base_/schedules/det_adamw_1x.py',
    '../_base_/runtime/det.py',
]

model = dict(
    backbone=dict(
        arch='l',
        drop_path_rate=0.3,
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://mscan_l'),
    ),
)
