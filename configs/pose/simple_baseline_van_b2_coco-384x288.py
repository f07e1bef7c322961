# SimpleBaseline + VAN-B2 for COCO keypoints at 384x288. The code was not released: drop path rate,
# heat maps and flips are mmpose's. mmpose is not a requirement of mmattn; built with 1.3.2.
_base_ = [
    '../_base_/models/simple_baseline_van_b2.py',
    '../_base_/datasets/coco_keypoints_384x288.py',
    '../_base_/schedules/pose_adam_210e.py',
    '../_base_/runtime/pose.py',
]

published = dict(
    paper='Visual Attention Network',
    where='pose estimation on COCO',
    parameters=30.3,
    flops=13.6,
    flops_shape=(384, 288),
    metrics=dict(AP=76.7),
)

model = dict(head=dict(decoder={{_base_.codec}}))
