"""The pipelines of a shipped config, for images of another size."""

from typing import Any

from mmattn.datasets.own.source import Source

# Sizes in transforms and models, by the names of OpenMMLab.
_SIZES = ('scale', 'scales', 'crop_size', 'size', 'stride')
# Strides of most backbones, and with them what crops are multiples of.
_MULTIPLE = 32


class Fit:
    """Copies parts of a config, with sizes that are multiplied.

    Args:
        factor: Factor of all sizes in pixels, at most 1.
        names: Sizes of the config that get a name, by the name; those are written as names.
    """

    def __init__(self, factor: float, names: dict[str, Any]) -> None:
        self.factor = factor
        self.names = names
        self.ratios: tuple[float, ...] = ()

    def size(self, key: str, value: Any) -> Any:
        """Give a size of the config, multiplied; crops are multiples of 32."""
        multiple = _MULTIPLE if key in ('crop_size', 'size', 'stride') else 1
        return _multiply(value, self.factor, multiple)

    def steps(self, node: Any) -> Any:
        """Copy the steps of a pipeline, in lists as deep as they are."""
        if isinstance(node, dict):
            if node.get('type') == 'LoadSegMap':
                return Source('load_labels')
            if node.get('type') == 'TestTimeAug':
                return {**node, 'transforms': [self._choice(c) for c in node['transforms']]}
            return {k: self._named(k, v) if k in _SIZES else self.steps(v) for k, v in node.items()}
        if isinstance(node, list | tuple):
            return type(node)(self.steps(value) for value in node)
        return node

    def _named(self, key: str, value: Any) -> Any:
        for name, known in self.names.items():
            if value == known:
                return Source(name)
        return self.size(key, value)

    def _choice(self, choice: list) -> Any:
        """Write the sizes of a test at several scales as multiples of that of the plain test."""
        middle, rest = self.names.get('scale'), {'type': 'Resize', 'keep_ratio': True}
        if middle is None or not all({**step, **rest} == step for step in choice):
            return self.steps(choice)
        self.ratios = tuple(step['scale'][1] / middle[1] for step in choice)
        return Source("[dict(type='Resize', scale=size, keep_ratio=True) for size in tta_scales]")


def _multiply(size: Any, factor: float, multiple: int) -> Any:
    if isinstance(size, list | tuple):
        return type(size)(_multiply(side, factor, multiple) for side in size)
    if factor == 1 or not isinstance(size, int):
        return size
    return max(multiple, int(size * factor + 1e-6) // multiple * multiple)
