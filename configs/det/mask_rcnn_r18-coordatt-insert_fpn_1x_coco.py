# Mask R-CNN + ResNet-18 with coordinate attention (Coordinate Attention for Efficient Mobile
# Network Design) put into the blocks of all stages, behind the last norm and ahead of the addition,
# where squeeze-and-excitation has its place in such blocks, which have no 1x1 convolution; the
# paper has no ResNet, and plugins do not fit this block. The modules start as the identity and
# train although the backbone keeps its statistics and its first stage. The recipe is mmdet's for
# ResNet-50. Not measured here.
_base_ = [
    '../_base_/models/mask_rcnn_r18_fpn.py',
    '../_base_/datasets/coco_instance.py',
    '../_base_/schedules/det_sgd_1x.py',
    '../_base_/runtime/det.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='InsertAttention',
        host={{_base_.model.backbone}},
        sites=[
            dict(
                after=r'layer\d\.\d+\.bn2',
                attention=dict(type='CoordAtt', reduction=32, norm_cfg=dict(type='SyncBN')),
            ),
        ],
    ),
)
