_base_ = './upernet-coordatt-insert_r50_ade20k.py'
_deprecation_ = dict(
    expected='configs/seg/upernet-coordatt-insert_r50_ade20k.py', reference='docs/configs.md'
)
