# RTMDet-S with CBAM (Convolutional Block Attention Module) behind the stages of the backbone and
# behind the block of each map that the neck gives. The paper has no detector of this kind: the
# places are those that users choose. The modules start as the identity. The recipe is mmdet's,
# which reaches 44.5 box AP without attention. Not measured here.
_base_ = [
    '../_base_/models/rtmdet_s.py',
    '../_base_/datasets/coco_rtmdet_s_640.py',
    '../_base_/schedules/rtmdet_300e.py',
    '../_base_/runtime/det.py',
]

model = dict(
    _delete_=True,
    type='InsertAttention',
    host={{_base_.model}},
    sites=[
        dict(
            after=r'backbone\.stage\d|neck\.(top_down_blocks\.1|bottom_up_blocks\.\d)',
            attention=dict(type='CBAM', reduction=16, norm_cfg=dict(type='SyncBN', momentum=0.01)),
        ),
    ],
)

default_hooks = dict(checkpoint=dict(interval=10))
