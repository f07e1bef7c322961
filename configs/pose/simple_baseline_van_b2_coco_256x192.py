_base_ = './simple_baseline_van_b2_coco-256x192.py'
_deprecation_ = dict(
    expected='configs/pose/simple_baseline_van_b2_coco-256x192.py', reference='docs/configs.md'
)
