# Mask R-CNN + ResNet-50 with multi-scale channel attention (Attentional Feature Fusion) as
# squeeze-and-excitation would stand: behind the last norm of a block, ahead of the addition. The
# paper has it inside its fusion only, on ImageNet at reduction 16. Not measured here; the base
# says how this differs from experiments with ImageNet weights of the whole backbone.
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
                    type='MSCAM', reduction=16, norm_cfg={{_base_.norm_cfg}}, start='identity'
                ),
                stages={{_base_.attention_stages}},
                position='after_conv3',
            ),
        ],
    ),
)
