# Mask R-CNN + LSKNet-S on COCO, 12 epochs. The papers detect in aerial images; the recipe is that
# of VAN, of the same skeleton. The licence of the weights is CC BY-NC 4.0. Not measured here.
_base_ = [
    '../_base_/models/mask_rcnn_lsknet_fpn.py',
    '../_base_/datasets/coco_instance.py',
    '../_base_/schedules/det_adamw_1x.py',
    '../_base_/runtime/det.py',
]

model = dict(
    backbone=dict(
        arch='s',
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://lsknet_s'),
    ),
)
