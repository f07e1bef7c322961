_base_ = './yolox_s-coordatt-insert_300e_coco.py'
_deprecation_ = dict(
    expected='configs/det/yolox_s-coordatt-insert_300e_coco.py', reference='docs/configs.md'
)
