# ImageNet-1K at 224x224 as VAN is fine-tuned, 32 images per GPU.
_base_ = ['./imagenet_loaders.py', './pipeline_van_224.py']

train_dataloader = dict(batch_size=32, dataset=dict(pipeline={{_base_.train_pipeline}}))
val_dataloader = dict(batch_size=32, dataset=dict(pipeline={{_base_.val_pipeline}}))
test_dataloader = dict(batch_size=32, dataset=dict(pipeline={{_base_.test_pipeline}}))
