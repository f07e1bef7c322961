# Mask R-CNN + ResNet-50 with triplet attention (Rotate to Attend) behind the last norm of a block,
# ahead of the addition, as in the paper. Not measured here; the base says how this differs from
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
                cfg=dict(
                    type='TripletAttention',
                    norm_cfg=dict(type='SyncBN', momentum=0.01),
                    start='identity',
                ),
                stages={{_base_.attention_stages}},
                position='after_conv3',
            ),
        ],
    ),
)
