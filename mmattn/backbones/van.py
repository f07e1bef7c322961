"""Visual Attention Network."""

import re
from typing import ClassVar

from mmengine.registry import MODELS

from mmattn.backbones.gated_pyramid import BASE, LARGE, SMALL, TINY, GatedPyramid


@MODELS.register_module()
class VAN(GatedPyramid, arch='b2'):
    """Visual Attention Network: a convolutional pyramid whose blocks gate with large kernels.

    Paper: `Visual Attention Network <https://arxiv.org/abs/2202.09741>`_ (CVMJ 2023). Weights of
    the authors' release and of mmpretrain's ``VAN`` load as they are; their classifier is set
    aside. In the scope of mmpretrain, which has a ``VAN`` of its own, write ``type='mmattn.VAN'``.

    Args:
        arch: ``'b0'`` to ``'b6'``, or a dict of ``embed_dims``, ``depths`` and ``mlp_ratios`` with
            one value per stage.
        in_channels: Channels of the image.
        attention: Config of the attention module in every block; ``in_channels`` is filled in.
        out_indices: Stages, counted from 0, whose maps are returned.
        frozen_stages: Stages 0 to ``frozen_stages`` are frozen; -1 freezes none.
        norm_cfg: Norm of the patch embeddings and blocks.
        stage_norm_cfg: Norm over the channels at the end of each stage. The released classifier
            has an eps of 1e-6, the released segmentation code 1e-5.
        norm_eval: Whether batch norm layers keep their running statistics while training.
        with_cp: Whether blocks are recomputed in the backward pass, which saves memory.
        lean: Whether blocks keep 0.4 of what they would keep for the backward pass, for 3 to 6 %
            more time: norms, GELU, gates and 3x3 depthwise convolutions are computed
            again there. Gradients are the same up to rounding; a second derivative and transforms
            of ``torch.func`` are refused. A half of a block whose modules are others, have hooks
            or compute another attention than the gate of LKA or StripModule keeps what it would,
            and so does a norm that is no batch norm or synchronizes several processes.
            ``torch.compile`` and ``torch.export`` see the plain block.
        drop_rate: Dropout rate in the feed-forward networks.
        drop_path_rate: Stochastic depth rate of the last block; it rises linearly from 0.
        layer_scale_init_value: Initial scale of the residual branches.
        init_cfg: Initialization config of :class:`mmengine.model.BaseModule`; without one, the
            released initialization.

    Raises:
        ValueError: If ``arch`` is unknown or incomplete, ``out_indices`` or ``frozen_stages``
            name a stage that does not exist, or ``lean`` meets ``with_cp`` or ``drop_rate``.

    Shape:
        - Input: (N, in_channels, H, W) with any H, W >= 1.
        - Output: one (N, C_i, H_i, W_i) per out index, with strides 4, 8, 16 and 32.

    Example:
        >>> import torch
        >>> maps = VAN('b0', out_indices=(0, 1))(torch.rand(1, 3, 32, 64))
        >>> [tuple(x.shape) for x in maps]
        [(1, 32, 8, 16), (1, 64, 4, 8)]
    """

    # Paper, tables 5 and 8; the sizes of B6's third stage are the release's.
    archs: ClassVar[dict[str, dict]] = {
        'b0': TINY,
        'b1': SMALL,
        'b2': BASE,
        'b3': LARGE,
        'b4': dict(embed_dims=(64, 128, 320, 512), depths=(3, 6, 40, 3)),
        'b5': dict(embed_dims=(96, 192, 480, 768), depths=(3, 3, 24, 3)),
        'b6': dict(embed_dims=(96, 192, 384, 768), depths=(6, 6, 90, 6)),
    }
    layouts: ClassVar[dict[str, str]] = {
        'mmpretrain VAN': r'blocks1\.0\.attn\.proj_1\.weight',
        'Hugging Face VAN': r'(van\.)?encoder\.stages\.0\.layers\.0\.pre_normomalization\.weight',
    }

    @staticmethod
    def own_key(key: str) -> str:
        """Turn the key names of mmpretrain and Hugging Face into the release's, which are ours."""
        key = key.removeprefix('van.')
        if key.startswith('encoder.stages.'):
            return _own_key_of_hugging_face(key)
        key = re.sub(r'^blocks(\d)', r'block\1', key)
        key = re.sub(r'^(patch_embed\d)\.projection\.', r'\1.proj.', key)
        key = key.replace('.DW_conv.', '.conv0.').replace('.DW_D_conv.', '.conv_spatial.')
        return GatedPyramid.own_key(key)

    @staticmethod
    def is_optional(key: str) -> bool:
        """Tell the classifier and the stages from anything else."""
        # Hugging Face has a last norm that its network does not use.
        return key.startswith(('classifier.', 'layernorm.')) or GatedPyramid.is_optional(key)


_LKA_OF_HUGGING_FACE = 'attention.attention_layer.attention'
_OF_HUGGING_FACE = {
    'pre_normomalization': 'norm1',
    'post_normalization': 'norm2',
    'attention.pre_projection.conv': 'attn.proj_1',
    f'{_LKA_OF_HUGGING_FACE}.depth_wise': 'attn.spatial_gating_unit.conv0',
    f'{_LKA_OF_HUGGING_FACE}.depth_wise_dilated': 'attn.spatial_gating_unit.conv_spatial',
    f'{_LKA_OF_HUGGING_FACE}.point_wise': 'attn.spatial_gating_unit.conv1',
    'attention.post_projection': 'attn.proj_2',
    'mlp.in_dense': 'mlp.fc1',
    'mlp.depth_wise': 'mlp.dwconv.dwconv',
    'mlp.out_dense': 'mlp.fc2',
}


def _own_key_of_hugging_face(key: str) -> str:
    """Turn the key of a stage into ours; one that no stage has stays as it is."""
    place = re.match(r'encoder\.stages\.(\d+)\.(?:layers\.(\d+)\.)?(.+)\.([^.]+)$', key)
    if place is None:
        return key
    index, block, name, leaf = place.groups()
    stage = int(index) + 1
    if block is None:
        if name.startswith('embeddings.'):
            part = 'proj' if name == 'embeddings.convolution' else 'norm'
            return f'patch_embed{stage}.{part}.{leaf}'
        return f'norm{stage}.{leaf}' if name == 'normalization' else key
    if name in ('attention_scaling', 'mlp_scaling'):
        return f'block{stage}.{block}.layer_scale_{1 if name == "attention_scaling" else 2}'
    return f'block{stage}.{block}.{_OF_HUGGING_FACE.get(name, name)}.{leaf}'
