# RTMDet-S with a map of stride 4 for small objects, and with coordinate attention (Coordinate
# Attention for Efficient Mobile Network Design) behind the stages of the backbone and behind the
# block of each map that the neck gives. The paper has no detector of this kind: the places are
# those that users choose. The modules start as the identity. The recipe is mmdet's for the strides
# 8 to 32; for small objects on larger images, set another size. Not measured here.
_base_ = [
    '../_base_/models/rtmdet_s_p2.py',
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
            after=r'backbone\.stage\d|neck\.(top_down_blocks\.2|bottom_up_blocks\.\d)',
            attention=dict(type='CoordAtt', reduction=32, norm_cfg={{_base_.norm_cfg}}),
        ),
    ],
)

default_hooks = dict(checkpoint=dict(interval=10))
