_base_ = './mask2former_van_b2_coco-panoptic.py'
_deprecation_ = dict(
    expected='configs/det/mask2former_van_b2_coco-panoptic.py', reference='docs/configs.md'
)
