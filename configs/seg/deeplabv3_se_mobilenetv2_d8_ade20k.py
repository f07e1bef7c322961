_base_ = './deeplabv3_mobilenetv2_d8-se_ade20k.py'
_deprecation_ = dict(
    expected='configs/seg/deeplabv3_mobilenetv2_d8-se_ade20k.py', reference='docs/configs.md'
)
