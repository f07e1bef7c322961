# Mask R-CNN + ResNet-50 with SimAM (SimAM: A Simple, Parameter-Free Attention Module for
# Convolutional Neural Networks) with the lambda of the release's detectors, behind the 3x3
# convolution of a block. The release has it ahead of the norm and ReLU, plugins come behind them;
# it also halves the learning rate. Not measured here; the base says how this differs from
# experiments with ImageNet weights of the whole backbone.
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
                cfg=dict(type='SimAM', e_lambda=0.1, start='identity'),
                stages={{_base_.attention_stages}},
                position='after_conv2',
            ),
        ],
    ),
)
