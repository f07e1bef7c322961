# Mask R-CNN + ResNet-50 with efficient channel attention (ECA-Net) behind the last norm of a
# block, ahead of the addition, as in the paper. The kernel size follows from the channels by the
# paper's rule, 5 to 7 in these stages. Not measured here; the base says how this differs from
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
                cfg=dict(type='ECA', start='identity'),
                stages={{_base_.attention_stages}},
                position='after_conv3',
            ),
        ],
    ),
)
