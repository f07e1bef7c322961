_base_ = './deeplabv3_mobilenetv2_d8-cbam_cityscapes.py'
_deprecation_ = dict(
    expected='configs/seg/deeplabv3_mobilenetv2_d8-cbam_cityscapes.py', reference='docs/configs.md'
)
