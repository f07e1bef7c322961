_base_ = './mask_rcnn_convnext_t-coordatt-insert_fpn_3x_coco.py'
_deprecation_ = dict(
    expected='configs/det/mask_rcnn_convnext_t-coordatt-insert_fpn_3x_coco.py',
    reference='docs/configs.md',
)
