# COCO 2017 at a short side of 800 and a long side of at most 1333 pixels, 2 images per GPU.
_base_ = './coco_val2017.py'

train_dataloader = dict(
    batch_size=2,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        type='CocoDataset',
        data_root={{_base_.data_root}},
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
    ),
)
val_dataloader = dict(batch_size=1)
test_dataloader = dict(batch_size=1)
