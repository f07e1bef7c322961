_base_ = './mobilenetv2_w050-coordatt_in1k.py'
_deprecation_ = dict(
    expected='configs/cls/mobilenetv2_w050-coordatt_in1k.py', reference='docs/configs.md'
)
