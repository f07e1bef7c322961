_base_ = './upernet_van_b5_ade20k.py'
_deprecation_ = dict(expected='configs/seg/upernet_van_b5_ade20k.py', reference='docs/configs.md')
