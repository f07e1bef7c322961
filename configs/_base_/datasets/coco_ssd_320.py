# COCO 2017 with boxes for SSD: 32 images of 320x320 pixels per GPU.
_base_ = ['./coco_detection.py', './pipeline_ssd_320.py']

train_pipeline = {{_base_.ssd_train_pipeline}}
test_pipeline = {{_base_.ssd_test_pipeline}}

train_dataloader = dict(
    batch_size=32,
    sampler=dict(_delete_=True, type='InfiniteSampler', shuffle=True),
    # All images have one size.
    batch_sampler=None,
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(batch_size=8, dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(batch_size=8, dataset=dict(pipeline=test_pipeline))
