_base_ = './retinanet_timm_efficientnet_b1-coordatt-insert_fpn_1x_coco.py'
_deprecation_ = dict(
    expected='configs/det/retinanet_timm_efficientnet_b1-coordatt-insert_fpn_1x_coco.py',
    reference='docs/configs.md',
)
