_base_ = './mobilenext_w075-coordatt_in1k.py'
_deprecation_ = dict(
    expected='configs/cls/mobilenext_w075-coordatt_in1k.py', reference='docs/configs.md'
)
