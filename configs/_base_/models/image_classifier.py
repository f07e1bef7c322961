# What the classifiers for ImageNet share: 1000 classes and one linear layer. Colours, pooling and
# loss are left open.
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(type='ClsDataPreprocessor', num_classes=1000, to_rgb=True),
    head=dict(type='LinearClsHead', num_classes=1000),
)
