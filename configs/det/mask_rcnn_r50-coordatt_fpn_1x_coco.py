# Mask R-CNN + ResNet-50 with coordinate attention (Coordinate Attention for Efficient Mobile
# Network Design) behind the 3x3 convolution of a block, its norm and ReLU, which is its place in
# the paper's inverted residuals; the paper has no ResNet. Not measured here; the base says how
# this differs from experiments with ImageNet weights of the whole backbone.
_base_ = [
    '../_base_/models/mask_rcnn_r50_fpn.py',
    '../_base_/models/attention_in_r50.py',
    '../_base_/datasets/coco_instance.py',
    '../_base_/schedules/det_sgd_1x.py',
    '../_base_/runtime/det.py',
]

model = dict(
    backbone=dict(
        plugins=[
            dict(
                cfg=dict(
                    type='CoordAtt', reduction=32, norm_cfg={{_base_.norm_cfg}}, start='identity'
                ),
                stages={{_base_.attention_stages}},
                position='after_conv2',
            ),
        ],
    ),
)
