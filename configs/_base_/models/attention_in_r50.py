# What Mask R-CNN on ResNet-50 needs for an attention module in the blocks of its last three stages.
#
# All else is the plain detector's: the norms of the backbone keep ImageNet's statistics, and the
# stem and the first stage, which goes without modules, stay as they are. ImageNet weights know
# nothing of the modules: they start as the identity, and their own norms are trained, over all
# GPUs. Papers that detect with their module start from ImageNet weights trained with it; these are
# other experiments, comparable with each other and with the plain detector.
norm_cfg = dict(type='SyncBN', requires_grad=True)
attention_stages = (False, True, True, True)

custom_hooks = [dict(type='KeepAttentionTraining')]
