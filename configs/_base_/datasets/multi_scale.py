# The training sizes of Swin's long schedules: a short side of 480 to 800 pixels, for one half of
# the images after a crop of a smaller version.
sizes = [(size, 1333) for size in range(480, 801, 32)]
multi_scale = dict(
    type='RandomChoice',
    transforms=[
        [dict(type='RandomChoiceResize', scales=sizes, keep_ratio=True)],
        [
            dict(
                type='RandomChoiceResize',
                scales=[(400, 1333), (500, 1333), (600, 1333)],
                keep_ratio=True,
            ),
            dict(
                type='RandomCrop',
                crop_type='absolute_range',
                crop_size=(384, 600),
                allow_negative_crop=True,
            ),
            dict(type='RandomChoiceResize', scales=sizes, keep_ratio=True),
        ],
    ],
)
