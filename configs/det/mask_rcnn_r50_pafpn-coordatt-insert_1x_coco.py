# Mask R-CNN + ResNet-50 with coordinate attention (Coordinate Attention for Efficient Mobile
# Network Design) behind the path aggregation pyramid of PANet, one module for each of its five
# levels. The paper has attention in backbones only. The modules start as the identity. The recipe
# is that of the plain Mask R-CNN. Not measured here.
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
        host=dict(type='PAFPN', in_channels=[256, 512, 1024, 2048], out_channels=256, num_outs=5),
        sites=[
            dict(
                after='',
                attention=dict(type='CoordAtt', reduction=32, norm_cfg=dict(type='SyncBN')),
            ),
        ],
    ),
)
