# Mask R-CNN + Swin-T with coordinate attention (Coordinate Attention for Efficient Mobile Network
# Design) on the maps that the four stages give to the pyramid. The paper has no transformer: there
# only the outputs of the stages are maps. The modules start as the identity. The recipe is mmdet's,
# which reaches 42.7 box AP and 39.3 mask AP without attention. Not measured here.
_base_ = [
    '../_base_/models/mask_rcnn_swin_t_fpn.py',
    '../_base_/datasets/coco_instance.py',
    '../_base_/schedules/det_adamw_1x.py',
    '../_base_/runtime/det.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='InsertAttention',
        host={{_base_.model.backbone}},
        sites=[
            dict(
                after='',
                attention=dict(type='CoordAtt', reduction=32, norm_cfg=dict(type='SyncBN')),
            ),
        ],
    ),
)

optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'relative_position_bias_table': dict(decay_mult=0.0)})
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', milestones=[8, 11], gamma=0.1, by_epoch=True, begin=0, end=12),
]
