# UperNet + Swin-T on ADE20K with coordinate attention (Coordinate Attention for Efficient Mobile
# Network Design) on the maps that the four stages give to the heads. The paper has no transformer:
# there only the outputs of the stages are maps. The modules start as the identity. The recipe is
# mmseg's, which reaches 44.41 mIoU without attention. Not measured here.
_base_ = [
    '../_base_/models/upernet_swin_t.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/seg_adamw_160k.py',
    '../_base_/runtime/seg.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='InsertAttention',
        host={{_base_.model.backbone}},
        sites=[
            dict(
                after='',
                attention=dict(type='CoordAtt', reduction=32, norm_cfg={{_base_.norm_cfg}}),
            ),
        ],
    ),
)

optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'relative_position_bias_table': dict(decay_mult=0.0)})
)
