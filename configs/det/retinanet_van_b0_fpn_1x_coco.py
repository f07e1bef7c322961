# RetinaNet + VAN-B0 on COCO, 12 epochs. The code was never released, and the paper does not state
# the drop path rate, the warmup of 500 iterations, the kind of norm and its decay; all are chosen
# here, SyncBN and norms without decay among them. The nearest public code, that of LSKA, has BN,
# lets norms decay, and has a warmup of 1000 iterations and a drop path rate of 0.1.
_base_ = [
    '../_base_/models/retinanet_van_fpn.py',
    '../_base_/datasets/coco_detection.py',
    '../_base_/schedules/det_adamw_1x.py',
    '../_base_/runtime/det.py',
]

published = dict(
    paper='Visual Attention Network',
    where='table 9',
    parameters=13.4,
    metrics=dict(bbox_mAP=38.8),
)
model = dict(
    backbone=dict(
        arch='b0',
        drop_path_rate=0.1,
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://van_b0_in1k'),
    ),
    neck=dict(in_channels=[32, 64, 160, 256]),
)
