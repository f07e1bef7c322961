# Mask R-CNN + ResNet-50 whose feature pyramid fuses by iAFF where the plain one adds (Attentional
# Feature Fusion, section 4.3: reduction 4). The paper tries this on a segmentation of stop signs
# and has no figure for COCO, its pyramid was never released; the recipe is that of the plain Mask
# R-CNN. Not measured here.
_base_ = [
    '../_base_/models/mask_rcnn_r50_fpn.py',
    '../_base_/datasets/coco_instance.py',
    '../_base_/schedules/det_sgd_1x.py',
    '../_base_/runtime/det.py',
]

model = dict(
    neck=dict(
        type='AFFFPN',
        # One branch of the gate norms means of whole maps, so one GPU alone has too few values.
        fusion=dict(type='iAFF', reduction=4, norm_cfg=dict(type='SyncBN')),
    ),
)
