# Faster R-CNN + LSKNet-T on DOTA-v1.0 with horizontal boxes, 12 epochs of tiles of 1024x1024. The
# release has rotated boxes, by mmrotate, which OpenMMLab's maintained forks do not have: its
# figures are not comparable. Optimizer, batch and flips are those of its Oriented R-CNN, the
# warmup, norms without decay and all else of the detector mmdet's. The licence of the weights is
# CC BY-NC 4.0. Not measured here.
_base_ = [
    '../_base_/models/faster_rcnn_lsknet_fpn.py',
    '../_base_/datasets/dota.py',
    '../_base_/schedules/det_adamw_1x.py',
    '../_base_/runtime/det.py',
]

model = dict(
    backbone=dict(
        arch='t',
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://lsknet_t'),
    ),
    neck=dict(in_channels=[32, 64, 160, 256]),
    roi_head=dict(bbox_head=dict(num_classes=15)),
    # A tile shows up to thousands of vehicles and ships.
    test_cfg=dict(rcnn=dict(max_per_img=2000)),
)

optim_wrapper = dict(optimizer=dict(lr=2e-4))
