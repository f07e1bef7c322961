# Mask R-CNN + AFF-ResNet-50 (Attentional Feature Fusion: AFF for the addition in the blocks of the
# last two stages, reduction 16). The paper has no figure for COCO; the recipe is that of the plain
# Mask R-CNN, from plain ImageNet weights, except that the norms are trained: those of the fusion
# modules have no statistics yet that could be kept. Not measured here.
_base_ = [
    '../_base_/models/mask_rcnn_aff_r50_fpn.py',
    '../_base_/datasets/coco_instance.py',
    '../_base_/schedules/det_sgd_1x.py',
    '../_base_/runtime/det.py',
]
