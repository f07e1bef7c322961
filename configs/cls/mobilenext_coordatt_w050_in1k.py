_base_ = './mobilenext_w050-coordatt_in1k.py'
_deprecation_ = dict(
    expected='configs/cls/mobilenext_w050-coordatt_in1k.py', reference='docs/configs.md'
)
