# Mask R-CNN + ResNet-50 with coordinate attention (Coordinate Attention for Efficient Mobile
# Network Design) behind the feature pyramid, one module for each of its five levels. The paper has
# attention in backbones only. The modules start as the identity. The recipe is mmdet's, which
# reaches 38.2 box AP and 34.7 mask AP without attention. Not measured here.
_base_ = [
    '../_base_/models/mask_rcnn_r50_fpn.py',
    '../_base_/datasets/coco_instance.py',
    '../_base_/schedules/det_sgd_1x.py',
    '../_base_/runtime/det.py',
]

model = dict(
    neck=dict(
        _delete_=True,
        type='InsertAttention',
        host={{_base_.model.neck}},
        sites=[
            dict(
                after='',
                attention=dict(type='CoordAtt', reduction=32, norm_cfg=dict(type='SyncBN')),
            ),
        ],
    ),
)
