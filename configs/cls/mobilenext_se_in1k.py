_base_ = './mobilenext-se_in1k.py'
_deprecation_ = dict(expected='configs/cls/mobilenext-se_in1k.py', reference='docs/configs.md')
