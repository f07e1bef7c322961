# YOLOX-S with efficient channel attention (ECA-Net) behind the stages of the backbone and behind
# the block of each map that the neck gives. The paper has no detector of this kind: the places are
# those that users choose. All starts from random values, attention as published. The recipe is
# mmdet's, which reaches 40.5 box AP without attention. Not measured here.
_base_ = [
    '../_base_/models/yolox_s.py',
    '../_base_/datasets/coco_yolox_640.py',
    '../_base_/schedules/yolox_300e.py',
    '../_base_/runtime/det.py',
]

model = dict(
    _delete_=True,
    type='InsertAttention',
    host={{_base_.model}},
    sites=[
        dict(
            after=r'backbone\.stage\d|neck\.(top_down_blocks\.1|bottom_up_blocks\.\d)',
            attention=dict(type='ECA'),
        ),
    ],
    start='paper',
)

default_hooks = dict(checkpoint=dict(interval=10))
