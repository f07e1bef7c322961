_base_ = './van_b6_pre22k-384_in1k.py'
_deprecation_ = dict(expected='configs/cls/van_b6_pre22k-384_in1k.py', reference='docs/configs.md')
