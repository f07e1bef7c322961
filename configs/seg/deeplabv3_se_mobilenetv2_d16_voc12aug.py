_base_ = './deeplabv3_mobilenetv2_d16-se_voc12aug.py'
_deprecation_ = dict(
    expected='configs/seg/deeplabv3_mobilenetv2_d16-se_voc12aug.py', reference='docs/configs.md'
)
