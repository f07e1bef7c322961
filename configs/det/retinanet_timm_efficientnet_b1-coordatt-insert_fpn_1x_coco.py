# RetinaNet + EfficientNet-B1 of timm with coordinate attention (Coordinate Attention for Efficient
# Mobile Network Design) on the expanded channels of its blocks, ahead of the projection. The paper
# has it there in EfficientNet-B0, in place of squeeze-and-excitation; here both are, because the
# ImageNet weights know the latter. The modules start as the identity. The recipe is mmdet's, which
# has no figure, and needs those weights, which timm downloads: --cfg-options
# model.backbone.host.pretrained=True. Not measured here. Needs mmpretrain and timm.
_base_ = [
    '../_base_/models/retinanet_timm_efficientnet_b1_fpn.py',
    '../_base_/datasets/coco_detection.py',
    '../_base_/schedules/det_sgd_1x.py',
    '../_base_/runtime/det.py',
]

custom_imports = dict(imports=['mmattn', 'mmpretrain.models'])
model = dict(
    backbone=dict(
        _delete_=True,
        type='InsertAttention',
        host={{_base_.model.backbone}},
        sites=[
            dict(
                after=r'timm_model\.blocks\.[1-6]\.\d+\.se',
                attention=dict(type='CoordAtt', reduction=32, norm_cfg=dict(type='SyncBN')),
            ),
        ],
    ),
)

optim_wrapper = dict(optimizer=dict(lr=0.01))
