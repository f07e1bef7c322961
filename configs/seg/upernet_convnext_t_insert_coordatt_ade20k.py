_base_ = './upernet_convnext_t-coordatt-insert_ade20k.py'
_deprecation_ = dict(
    expected='configs/seg/upernet_convnext_t-coordatt-insert_ade20k.py', reference='docs/configs.md'
)
