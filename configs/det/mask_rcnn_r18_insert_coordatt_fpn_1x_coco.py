_base_ = './mask_rcnn_r18-coordatt-insert_fpn_1x_coco.py'
_deprecation_ = dict(
    expected='configs/det/mask_rcnn_r18-coordatt-insert_fpn_1x_coco.py', reference='docs/configs.md'
)
