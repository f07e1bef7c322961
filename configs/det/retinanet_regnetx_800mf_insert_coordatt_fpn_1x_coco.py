_base_ = './retinanet_regnetx_800mf-coordatt-insert_fpn_1x_coco.py'
_deprecation_ = dict(
    expected='configs/det/retinanet_regnetx_800mf-coordatt-insert_fpn_1x_coco.py',
    reference='docs/configs.md',
)
