_base_ = './mask_rcnn_r50-mscam_fpn_1x_coco.py'
_deprecation_ = dict(
    expected='configs/det/mask_rcnn_r50-mscam_fpn_1x_coco.py', reference='docs/configs.md'
)
