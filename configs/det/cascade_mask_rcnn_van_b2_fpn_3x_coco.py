# Cascade Mask R-CNN + VAN-B2 on COCO, 36 epochs at many sizes. The code was never released;
# schedule and sizes follow Swin, as the paper says. The drop path rate is chosen here: the authors
# advise at least 0.3 from B2 on.
_base_ = [
    '../_base_/models/cascade_mask_rcnn_van_fpn.py',
    '../_base_/datasets/coco_instance_ms.py',
    '../_base_/schedules/det_adamw_3x.py',
    '../_base_/runtime/det.py',
]

published = dict(
    paper='Visual Attention Network',
    where='table 11',
    parameters=84,
    flops=752,
    flops_shape=(800, 1280),
    metrics=dict(bbox_mAP=52.0),
)
model = dict(
    backbone=dict(
        arch='b2',
        drop_path_rate=0.3,
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://van_b2_in1k'),
    ),
)
