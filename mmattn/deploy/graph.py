"""A whole model as one module from an image to arrays, which tracers can follow.

What OpenMMLab does around a network in Python, data samples and lists of any length, is left out or
said in tensors of fixed sizes: normalization and padding before, label map, scores or boxes behind.
"""

import copy
from abc import abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmattn.deploy.adaptive_mean import replace_adaptive_means
from mmattn.deploy.detections import check_dense_head, dense_detections
from mmattn.deploy.fold import fold
from mmattn.deploy.two_stage import check_two_stages, detections, masks, proposals
from mmattn.errors import InputError
from mmattn.prediction.model import Model


class Graph(nn.Module):
    """A model from an image to arrays.

    Args:
        module: Segmentor, classifier or detector, which the graph has for its own.
        dtype: In which the network computes. Normalization before it and boxes behind it are
            float32.

    Attributes:
        outputs: Names of what it gives.
        mask_threshold: Of ``masks``, above which a pixel is of its object.
        least: What a side of an image has at least where any size is taken: more than the stride
            of the last map, since PyTorch traces sides of one value apart.

    Shape:
        - Input: (1, C, H, W), values of 0 to 255 in the order in which the pipeline of the test
          gives channels, as uint8 or float32.
        - Output: a tuple of tensors, one for each of ``outputs``.

    Raises:
        InputError: If the model predicts in a way that cannot be said in a graph.
    """

    outputs: tuple[str, ...]
    mask_threshold: float | None = None
    least = 33

    def __init__(self, module: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.normalize = Normalize(module.data_preprocessor, dtype)
        # Its buffers are in the other one.
        module.data_preprocessor = None
        replace_adaptive_means(module)
        self.module: Any = module.to(dtype)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Give the arrays of an image (1, C, H, W)."""
        return self.predict(self.normalize(image), image.shape[2], image.shape[3])

    @abstractmethod
    def predict(self, x: Tensor, height: int, width: int) -> tuple[Tensor, ...]:
        """Give the arrays of a normalized image, of which so much is no padding."""


class Normalize(nn.Module):
    """What a data preprocessor does to an image: order of channels, mean and deviation, padding.

    Args:
        preprocessor: The data preprocessor of mmseg, mmdet or mmpretrain.
        dtype: Of its output.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, preprocessor: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        swaps = getattr(preprocessor, '_channel_conversion', None)
        self.swaps = bool(getattr(preprocessor, 'to_rgb', False) if swaps is None else swaps)
        self.normalizes = bool(getattr(preprocessor, '_enable_normalize', False))
        if self.normalizes:
            self.register_buffer('mean', preprocessor.mean.detach().clone())
            self.register_buffer('std', preprocessor.std.detach().clone())
        self.divisor = getattr(preprocessor, 'pad_size_divisor', 1)
        self.pad_value = getattr(preprocessor, 'pad_value', 0)
        # Of mmseg, the divisor above is for training.
        if hasattr(preprocessor, 'size_divisor'):
            self.divisor = (preprocessor.test_cfg or {}).get('size_divisor') or 1
            self.pad_value = preprocessor.pad_val

    def forward(self, image: Tensor) -> Tensor:
        """Prepare an image (1, C, H, W) of 0 to 255 for the network."""
        x = image.float()
        if self.swaps:
            x = x.flip(1)
        if self.normalizes:
            x = (x - self.mean) / self.std
        if self.divisor > 1:
            # So written, a tracer sees that nothing is cut off.
            lower, right = -x.shape[2] % self.divisor, -x.shape[3] % self.divisor
            x = F.pad(x, (0, right, 0, lower), value=self.pad_value)
        return x.to(self.dtype)


class SegmentorGraph(Graph):
    """A segmentor of mmseg: ``labels`` (1, H, W), the class of each pixel of the input."""

    outputs = ('labels',)

    def __init__(self, module: Any, dtype: torch.dtype) -> None:
        mode = (module.test_cfg or {}).get('mode', 'whole')
        if mode != 'whole' or not hasattr(module, 'encode_decode'):
            kind = type(module).__name__
            raise InputError(
                f'{kind} with test_cfg.mode={mode!r} cannot be exported; expected a segmentor that '
                'looks at the whole image: --cfg-options model.test_cfg.mode=whole'
            )
        # It only trains.
        module.auxiliary_head = None
        super().__init__(module, dtype)

    def predict(self, x: Tensor, height: int, width: int) -> tuple[Tensor, ...]:
        """Give the label map."""
        sides = tuple(x.shape[2:])
        meta = dict(img_shape=sides, pad_shape=sides, ori_shape=sides)
        logits = self.module.encode_decode(x, [meta])[:, :, :height, :width]
        if logits.shape[1] == 1:
            threshold = self.module.decode_head.threshold
            return ((logits[:, 0].sigmoid() > threshold).to(torch.int64),)
        return (logits.argmax(1),)


class ClassifierGraph(Graph):
    """A classifier of mmpretrain: ``scores`` (1, K), one for each class."""

    outputs = ('scores',)

    def predict(self, x: Tensor, height: int, width: int) -> tuple[Tensor, ...]:
        """Give the scores."""
        logits = self.module(x, mode='tensor')
        if not isinstance(logits, Tensor):
            raise InputError(
                f'the head of this {type(self.module).__name__} gives no tensor of scores, and '
                'cannot be exported; expected one such as LinearClsHead'
            )
        kinds = {kind.__name__ for kind in type(self.module.head).__mro__}
        scores = logits.float()
        return (scores.sigmoid() if 'MultiLabelClsHead' in kinds else scores.softmax(1),)


class DetectorGraph(Graph):
    """A detector of mmdet: ``boxes``, ``scores`` and ``labels`` of N places.

    Boxes (1, N, 4) are x and y of two corners in pixels of the input. Places are by falling scores;
    those without a detection are at the end, with the score and the label -1.
    """

    outputs: tuple[str, ...] = ('boxes', 'scores', 'labels')
    # The last map of a pyramid has a stride of 128.
    least = 129


class DenseGraph(DetectorGraph):
    """A detector in one stage."""

    def __init__(self, module: Any, dtype: torch.dtype) -> None:
        check_dense_head(module.bbox_head)
        super().__init__(module, dtype)

    def predict(self, x: Tensor, height: int, width: int) -> tuple[Tensor, ...]:
        """Give the detections."""
        head = self.module.bbox_head
        maps = head(self.module.extract_feat(x))
        return tuple(each[None] for each in dense_detections(head, maps, height, width))


class TwoStageGraph(DetectorGraph):
    """A detector in two stages; of Mask R-CNN there are ``masks`` (1, N, h, w), too.

    They are the probabilities, over the box of each place, that a pixel is of the object.
    """

    def __init__(self, module: Any, dtype: torch.dtype) -> None:
        check_two_stages(module)
        super().__init__(module, dtype)
        if module.with_mask:
            self.outputs = (*self.outputs, 'masks')
            self.mask_threshold = float(module.roi_head.test_cfg.mask_thr_binary)

    def predict(self, x: Tensor, height: int, width: int) -> tuple[Tensor, ...]:
        """Give the detections, and the masks."""
        feats, head = self.module.extract_feat(x), self.module.roi_head
        proposed = proposals(self.module.rpn_head, feats, height, width)
        boxes, scores, labels = detections(head, feats, proposed, height, width)
        found = [boxes, scores, labels]
        if 'masks' in self.outputs:
            found.append(masks(head, feats, boxes, labels))
        return tuple(each[None] for each in found)


def graph_of(model: Model, dtype: torch.dtype = torch.float32, *, folded: bool = False) -> Graph:
    """Make the graph of a trained model.

    Args:
        model: The model, which stays as it is.
        dtype: In which the network computes.
        folded: Whether the network is folded first.

    Raises:
        InputError: If there is none for its task, or its head, or it cannot be folded.
    """
    kind = _kind_of(model)
    module = fold(model.module) if folded else copy.deepcopy(model.module)
    return kind(module, dtype).eval().requires_grad_(False)


def _kind_of(model: Model) -> type[Graph]:
    if model.task in ('detection', 'instance') and hasattr(model.module, 'roi_head'):
        return TwoStageGraph
    kinds: dict[str, type[Graph]] = {
        'segmentation': SegmentorGraph,
        'classification': ClassifierGraph,
        'detection': DenseGraph,
    }
    if model.task not in kinds:
        raise InputError(
            f'{type(model.module).__name__} is for the task {model.task}, which cannot be '
            f'exported; expected one of {", ".join(kinds)}, or Mask R-CNN'
        )
    return kinds[model.task]
