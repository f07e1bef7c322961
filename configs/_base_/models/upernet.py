# UperNet on four maps.
_base_ = './encoder_decoder_fcn.py'

model = dict(
    decode_head=dict(
        type='UPerHead',
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6),
        channels=512,
        dropout_ratio=0.1,
    ),
)
