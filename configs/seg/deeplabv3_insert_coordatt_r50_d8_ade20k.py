_base_ = './deeplabv3-coordatt-insert_r50_d8_ade20k.py'
_deprecation_ = dict(
    expected='configs/seg/deeplabv3-coordatt-insert_r50_d8_ade20k.py', reference='docs/configs.md'
)
