_base_ = './retinanet_pvtv2_b0-coordatt-insert_fpn_1x_coco.py'
_deprecation_ = dict(
    expected='configs/det/retinanet_pvtv2_b0-coordatt-insert_fpn_1x_coco.py',
    reference='docs/configs.md',
)
