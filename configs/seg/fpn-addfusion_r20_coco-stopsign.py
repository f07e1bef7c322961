# Semantic FPN + ResNet-20 on the stop signs of COCO, whose pyramid adds as the plain one does: what
# the paper compares with fpn-aff_r20_coco-stopsign.py, whose header says what is not published.
_base_ = [
    '../_base_/models/fpn_r20.py',
    '../_base_/datasets/coco_stop_sign.py',
    '../_base_/schedules/seg_adagrad_300e.py',
    '../_base_/runtime/seg_epochs.py',
]

published = dict(
    paper='Attentional Feature Fusion',
    where='comparison of fusions',
    flops_shape=(256, 256),
    metrics=dict(mIoU=92.5),
)

model = dict(
    data_preprocessor=dict(size=(256, 256)),
    neck=dict(fusion=dict(type='AddFusion')),
    decode_head=dict(num_classes=2),
)
