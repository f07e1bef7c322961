# Semantic FPN + ResNet-20 on the stop signs of COCO with attentional feature fusion in place of the
# sums of the FPN, three blocks in each of the three stages of the ResNet (b = 3). The paper has
# optimizer, rate, epochs, batch size, loss and the reduction of 4; its code and its data were never
# released. Widths (those of the ResNet-20 for CIFAR, 64 in the pyramid), head, initialization,
# which images there are, their sizes and crops are this project's own choice. Whether its mIoU
# counts the background as a class, as it does here, is not known.
_base_ = [
    '../_base_/models/fpn_r20.py',
    '../_base_/datasets/coco_stop_sign.py',
    '../_base_/schedules/seg_adagrad_300e.py',
    '../_base_/runtime/seg_epochs.py',
]

published = dict(
    paper='Attentional Feature Fusion',
    where='ablation of scales',
    flops_shape=(256, 256),
    metrics=dict(mIoU=93.9),
)

model = dict(
    data_preprocessor=dict(size=(256, 256)),
    neck=dict(fusion=dict(type='AFF', reduction=4, norm_cfg={{_base_.norm_cfg}})),
    decode_head=dict(num_classes=2),
)
