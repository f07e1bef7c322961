# COCO 2017 with boxes for SSD: 32 images of 320x320 pixels per GPU.
_base_ = ['./coco_val2017.py', './pipeline_ssd_320.py']

train_pipeline = {{_base_.ssd_train_pipeline}}
test_pipeline = {{_base_.ssd_test_pipeline}}

train_dataloader = dict(
    batch_size=32,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    # All images have one size.
    batch_sampler=None,
    dataset=dict(
        type='CocoDataset',
        data_root={{_base_.data_root}},
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(batch_size=8, dataset=dict(pipeline={{_base_.ssd_val_pipeline}}))
test_dataloader = dict(batch_size=8, dataset=dict(pipeline=test_pipeline))

val_evaluator = dict(metric='bbox')
test_evaluator = dict(metric='bbox')
