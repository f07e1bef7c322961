_base_ = './mobilenetv2-coordatt_in1k.py'
_deprecation_ = dict(
    expected='configs/cls/mobilenetv2-coordatt_in1k.py', reference='docs/configs.md'
)
