_base_ = './mobilenext-coordatt_in1k.py'
_deprecation_ = dict(
    expected='configs/cls/mobilenext-coordatt_in1k.py', reference='docs/configs.md'
)
