# RetinaNet + VAN-B2 on COCO, 12 epochs. The code was never released, and the paper does not state
# the drop path rate (the authors advise at least 0.3 from B2 on), the warmup of 500 iterations, the
# kind of norm and its decay; all are chosen here, SyncBN and norms without decay among them. The
# nearest public code, that of LSKA, has BN, lets norms decay, and has a warmup of 1000 iterations
# and a drop path rate of 0.1.
_base_ = [
    '../_base_/models/retinanet_van_fpn.py',
    '../_base_/datasets/coco_detection.py',
    '../_base_/schedules/det_adamw_1x.py',
    '../_base_/runtime/det.py',
]

published = dict(
    paper='Visual Attention Network',
    where='table 9',
    parameters=36.3,
    metrics=dict(bbox_mAP=44.9),
)
model = dict(
    backbone=dict(
        arch='b2',
        drop_path_rate=0.3,
        init_cfg=dict(type='Pretrained', checkpoint='mmattn://van_b2_in1k'),
    ),
)
