_base_ = './upernet_r50-strippooling_ade20k.py'
_deprecation_ = dict(
    expected='configs/seg/upernet_r50-strippooling_ade20k.py', reference='docs/configs.md'
)
