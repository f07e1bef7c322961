# Mask R-CNN on ResNet-50 with an attention module in the blocks of its last three stages.
#
# The first stage goes without: it is frozen, and so would be the random weights of its modules.
# Plain ImageNet weights know nothing of the modules, which therefore start as the identity. Norms
# are trained, over all GPUs: those of the modules have no statistics yet that could be kept. Papers
# that detect with their module start from ImageNet weights trained with it; these are other
# experiments, comparable with each other.
_base_ = './mask_rcnn_r50_fpn.py'

norm_cfg = dict(type='SyncBN', requires_grad=True)
attention_stages = (False, True, True, True)

model = dict(backbone=dict(norm_cfg=norm_cfg, norm_eval=False))
