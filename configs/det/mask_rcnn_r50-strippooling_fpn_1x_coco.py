# Mask R-CNN + ResNet-50 with strip pooling (Strip Pooling: Rethinking Spatial Pooling for Scene
# Parsing) behind the 3x3 convolution of a block, its norm and ReLU, as in the paper's release.
# That has it in all blocks of the last stage and in the last block only of the others; plugins go
# into all blocks of a stage. Not measured here; the base says how this differs from experiments
# with ImageNet weights of the whole backbone.
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
                cfg=dict(type='StripPooling', norm_cfg={{_base_.norm_cfg}}, start='identity'),
                stages={{_base_.attention_stages}},
                position='after_conv2',
            ),
        ],
    ),
)
