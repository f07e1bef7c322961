# What each module brings to a host that was trained without it, and how it is to start:
# mmattn sweep run docs/study/plan.py --out work_dirs/study, see docs/study.md.
base = 'config.py'
seeds = [0, 1, 2]
# Height and width for which costs are counted.
shape = [180, 240]
# Iterations.
lengths = [400, 1200]

# Every module stands behind the depthwise convolution of each block that expands its channels, and
# behind the norm and ReLU6 there: 15 places, chosen as the release of CoordAtt did in MobileNetV2.
modules = ['SE', 'ECA', 'CBAM', 'TripletAttention', 'CoordAtt', 'LKA']
positions = r'backbone\.timm_model\.blocks\.[1-6]\.\d+\.bn2'

# The same place, other starts; "identity" is that of the rows above.
rows = {
    'CoordAtt paper': dict(attention=dict(type='CoordAtt'), after=positions, start='paper'),
    'CoordAtt fast factor': dict(
        attention=dict(type='CoordAtt'),
        after=positions,
        options={'optim_wrapper.paramwise_cfg.custom_keys': {'.blend': dict(lr_mult=100)}},
    ),
    'CoordAtt per channel': dict(attention=dict(type='CoordAttPerChannel'), after=positions),
    'CoordAtt fast per channel': dict(
        attention=dict(type='CoordAttPerChannel'),
        after=positions,
        options={'optim_wrapper.paramwise_cfg.custom_keys': {'.blend': dict(lr_mult=100)}},
    ),
    # They have no factor: the gates themselves are 1.
    'CoordAtt unit gates': dict(
        attention=dict(type='CoordAttUnitGates'), after=positions, start='paper'
    ),
}
