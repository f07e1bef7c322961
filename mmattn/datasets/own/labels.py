"""Look into label maps, and tell which labels are classes and which one means "no label"."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from mmattn.datasets.headers import open_image
from mmattn.datasets.names import visible
from mmattn.datasets.own.class_files import Named
from mmattn.datasets.own.folders import map_files
from mmattn.datasets.own.found import colours, listed
from mmattn.errors import InputError

_IGNORED = 255
_MOST = 255  # Classes.
# With more values than these, nearly all of them black and white, edges are blurred.
_MANY, _NEARLY_ALL = 20, 0.9


@dataclass
class Labels:
    """What label maps mean.

    Args:
        classes: Names, in the order of what `LoadSegMap` gives.
        palette: Their colours, RGB.
        loader: Options of `LoadSegMap`.
        reduce_zero_label: Whether 0 means "no label" and 1 is the first class.
        notes: What was seen, a line each.
        troubles: What looks wrong, a line each.
    """

    classes: tuple[str, ...]
    palette: list[list[int]]
    loader: dict
    reduce_zero_label: bool = False
    notes: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


@dataclass
class Look:
    """What one label map holds.

    Args:
        size: Width and height.
        kind: 'labels' or 'colours'.
        values: How many pixels have a label, or a colour as one number.
        palette: Colours of the labels, where the file has some.
        fault: Why it cannot be read, or None.
    """

    size: tuple[int, int] = (0, 0)
    kind: str = 'labels'
    values: Counter = field(default_factory=Counter)
    palette: list[list[int]] | None = None
    fault: str | None = None


def look_into(paths: list[Path]) -> dict[Path, Look]:
    """Read label maps.

    Raises:
        InputError: If there is one that cannot be a map of classes.
    """
    looks = dict(zip(paths, map_files(_look, paths), strict=True))
    for path, look in looks.items():
        if look.kind not in ('labels', 'colours'):
            raise InputError(f'label map {visible(path)} {look.kind}')
    return looks


def _look(path: Path) -> Look:
    try:
        with open_image(path) as image:
            image.load()
    # A decoder that is given any bytes may raise anything.
    except Exception as error:
        return Look(fault=' '.join(str(error).split()) or type(error).__name__)
    values: Counter
    if image.mode in ('L', 'P', '1'):
        counts = np.bincount(np.asarray(image).ravel())
        values = Counter({int(label): int(counts[label]) for label in np.flatnonzero(counts)})
        return Look(image.size, 'labels', values, _palette_of(image))
    if image.mode[0] == 'I':
        values = _count(np.asarray(image))
        if _is_16_bit_too_much(values):
            return Look(
                kind=f'has {len(values)} different values up to {max(values)} in 16 bits or more; '
                'that is a map of instances, or ids of another table: make maps of classes first, '
                'each pixel the number of its class from 0, as 8-bit PNG'
            )
        return Look(image.size, 'labels', values)
    if image.mode in ('RGB', 'RGBA'):
        pixels = np.asarray(image).astype(np.uint32)
        values = _count(pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2])
        if len(values) > _MOST + 1:
            return Look(
                kind=f'has {len(values)} colours; expected one colour for each class: is it a '
                'picture, a JPEG, or a map of instances?'
            )
        return Look(image.size, 'colours', values)
    return Look(
        kind=f'has the mode {image.mode}; expected one label of 8 bits, or one colour of RGB, for '
        'each pixel'
    )


def _is_16_bit_too_much(values: Counter) -> bool:
    # The largest value of 16 bits is the usual "no label" there.
    return any(not 0 <= value <= _IGNORED for value in values if value != 65535)


def _count(pixels: np.ndarray) -> Counter:
    values, counts = np.unique(pixels, return_counts=True)
    return Counter(dict(zip(values.tolist(), counts.tolist(), strict=True)))


def _palette_of(image: Image.Image) -> list[list[int]] | None:
    flat = image.getpalette() if image.mode == 'P' else None
    return [flat[i : i + 3] for i in range(0, len(flat), 3)] if flat else None


def tell_labels(
    looks: dict[Path, Look],
    named: tuple[Path, list[Named]] | None,
    classes: Sequence[str] | None,
    void: str | None,
) -> Labels:
    """Tell what label maps mean.

    Args:
        looks: What they hold.
        named: A file that names classes, and what it says.
        classes: Names that the user gives.
        void: What the user says that means "no label": a label, or a colour as R,G,B.

    Raises:
        InputError: If it cannot be told, or names and labels do not fit.
    """
    kinds = {look.kind: path for path, look in looks.items() if look.fault is None}
    if len(kinds) > 1:
        raise InputError(
            f'label maps are of two kinds: {visible(kinds["labels"])} holds labels, '
            f'{visible(kinds["colours"])} colours; expected one kind'
        )
    values: Counter = sum((look.values for look in looks.values()), Counter())
    jpeg = [path for path in looks if path.suffix.lower() in ('.jpg', '.jpeg')]
    if jpeg and len(values) > 2:
        raise InputError(
            f'label map {visible(jpeg[0])} is a JPEG, which blurs labels (there are {len(values)} '
            'values); export the label maps as PNG'
        )
    [kind] = kinds
    if kind == 'labels':
        return _tell_numbers(values, looks, named, classes, void)
    if all(_rgb(code) == [code & 255] * 3 for code in values):
        # Labels that are stored three times.
        grey = Counter({code & 255: count for code, count in values.items()})
        labels = _tell_numbers(grey, looks, named, classes, void)
        return _as_colours(labels, grey)
    return _tell_colours(values, named, classes, void)


def _rgb(code: int) -> list[int]:
    return [code >> 16, code >> 8 & 255, code & 255]


def _tell_numbers(
    values: Counter,
    looks: dict[Path, Look],
    named: tuple[Path, list[Named]] | None,
    classes: Sequence[str] | None,
    void: str | None,
) -> Labels:
    _refuse_blurred(values)
    voids = [] if void is None else [_read_label(void)]
    names: dict[int, str] | None = None
    notes: list[str] = []
    if classes is None and named is not None:
        names, notes = _names_of_file(values, voids, *named)
    labels = sorted(set(values) - set(voids))
    if names is None and labels == [0, _IGNORED]:
        return _binary(classes)
    if names is None:
        if _IGNORED in labels and not _is_class(_IGNORED, labels, voids, classes):
            labels.remove(_IGNORED)
            voids.append(_IGNORED)
        names = _name(labels, voids, classes)
    elif _IGNORED in labels and _IGNORED not in names:
        voids.append(_IGNORED)
    troubles = [
        f'no label map has the label {label} of --void'
        for label in voids[: void is not None]
        if label not in values
    ]
    if unused := [name for label, name in names.items() if label not in values]:
        troubles.append(f'no label map has {listed(unused)}')
    if seen := [label for label in voids if label in values]:
        share = sum(values[label] for label in seen) / values.total()
        shown = ' and '.join(map(str, seen))
        notes.append(f'no label: {shown} ({share:.1%} of the pixels)')
    elif not classes and not notes:
        notes.append('no label: none; if a label means "no label", say so: --void LABEL')
    return _number(names, voids, _palette(looks, list(names)), notes, troubles)


def _is_class(
    label: int, labels: list[int], voids: list[int], classes: Sequence[str] | None
) -> bool:
    """Tell whether the largest label has a name, and the others do not go without."""
    if not classes or len(classes) != len(labels):
        return False
    first = 1 if 0 in voids else 0
    return any(other - first >= len(classes) for other in labels if other != label)


def _read_label(text: str) -> int:
    if not text.isdigit():
        raise InputError(f'--void has to be a label of the maps, such as 255, got {text!r}')
    return int(text)


def _names_of_file(
    values: Counter, voids: list[int], path: Path, entries: list[Named]
) -> tuple[dict[int, str] | None, list[str]]:
    """Give the names that a file gives to labels, if they are those of the maps."""
    by_label = {
        place if entry.label is None else entry.label: entry for place, entry in enumerate(entries)
    }
    if not set(values) - {_IGNORED} - set(voids) <= set(by_label):
        return None, []
    voids += [x for x, entry in by_label.items() if entry.is_void and x not in voids]
    names = {x: entry.name for x, entry in sorted(by_label.items()) if x not in voids}
    return names, [f'names of classes from {visible(path)}']


def _refuse_blurred(values: Counter) -> None:
    black_and_white = values[0] + values[_IGNORED]
    if len(values) > _MANY and values[_IGNORED] and black_and_white > _NEARLY_ALL * values.total():
        raise InputError(
            f'label maps hold {len(values)} values, {black_and_white / values.total():.1%} of the '
            'pixels 0 and 255: masks of two classes whose edges are blurred; make them 0 and 255 '
            'by a threshold'
        )


def _binary(classes: Sequence[str] | None) -> Labels:
    names = tuple(classes or ('background', 'foreground'))
    if len(names) == 1:
        names = ('background', *names)
    if len(names) != 2:
        raise InputError(
            f'label maps hold 0 and 255, two classes, but {len(names)} are named '
            f'({listed(names)}); name the one of 255, or that of 0 and that of 255'
        )
    loader = dict(max_label=1, label_map={_IGNORED: 1})
    return Labels(names, colours(2), loader, notes=['labels: 0 and 255, read as 0 and 1'])


def _name(labels: list[int], voids: list[int], classes: Sequence[str] | None) -> dict[int, str]:
    """Give each label its name."""
    if not labels or (len(labels) == 1 and not classes):
        raise InputError(
            f'label maps hold nothing but {" and ".join(map(str, sorted([*labels, *voids])))}; '
            'expected the labels of two classes or more'
        )
    whole = labels == list(range(labels[0], labels[-1] + 1))
    if classes is None:
        prefix = 'class' if whole else 'label'
        return {label: f'{prefix}_{label}' for label in labels}
    if len(classes) == len(labels):
        return dict(zip(labels, classes, strict=True))
    first = 1 if 0 in voids else 0
    if len(classes) > labels[-1] - first:
        # Some names are those of labels that nobody has used.
        return {first + place: name for place, name in enumerate(classes)}
    shown = ', '.join(map(str, labels)) if len(labels) < 8 else f'{labels[0]} to {labels[-1]}'
    if len(classes) == 1 and len(labels) == 2 and labels[0] == 0:
        return {0: 'background', labels[1]: classes[0]}
    if len(classes) == len(labels) - 1:
        # A number apart from the others is the one.
        if labels[-1] > labels[-2] + 1 and labels[:-1] == [*range(len(classes))]:
            voids.append(labels[-1])
            return dict(enumerate(classes))
        raise InputError(
            f'label maps hold {len(labels)} labels ({shown}) and {len(classes)} classes are named; '
            f'which label means "no label"? --void {labels[0]} or --void {labels[-1]}'
        )
    raise InputError(
        f'label maps hold {len(labels)} labels ({shown}), but {len(classes)} classes are named '
        f'({listed(classes)}); give one name for each label, in this order'
    )


def _number(
    names: dict[int, str],
    voids: list[int],
    palette: list[list[int]],
    notes: list[str],
    troubles: list[str],
) -> Labels:
    """Say to the loader and the dataset which label is which class."""
    labels = list(names)
    classes = tuple(names.values())
    loader: dict = dict(max_label=len(labels) - 1)
    reduce_zero_label = 0 in voids and labels == list(range(1, len(labels) + 1))
    if reduce_zero_label:
        voids = [label for label in voids if label != 0]
        loader = dict(max_label=len(labels))
        label_map = {}
    else:
        label_map = {old: new for new, old in enumerate(labels) if new != old}
    if len(voids) == 1:
        loader['ignore_index'] = voids[0]
    else:
        label_map.update(dict.fromkeys(voids, _IGNORED))
    if label_map:
        loader['label_map'] = label_map
    if not 2 <= len(labels) <= _MOST:
        raise InputError(
            f'label maps hold {len(labels)} classes ({listed(classes)}); expected 2 to {_MOST}'
        )
    shown = f'{labels[0]} to {labels[-1]}' if len(labels) > 8 else ', '.join(map(str, labels))
    return Labels(
        classes, palette, loader, reduce_zero_label, [f'labels: {shown}', *notes], troubles
    )


def _palette(looks: dict[Path, Look], labels: list[int]) -> list[list[int]]:
    """Give colours of labels: those of the files, where they are different, or Pascal VOC's."""
    for look in looks.values():
        if look.palette and max(labels) < len(look.palette):
            chosen = [look.palette[label] for label in labels]
            if len({tuple(colour) for colour in chosen}) == len(chosen):
                return chosen
    return colours(len(labels))


def _as_colours(labels: Labels, values: Counter) -> Labels:
    """Read labels that are stored as shades of grey in three channels."""
    loader = labels.loader
    label_map = loader.get('label_map', {})
    void = loader.get('ignore_index')
    shift = int(labels.reduce_zero_label)
    new = {value: label_map.get(value, value - shift) for value in values}
    if shift:
        new[0] = _IGNORED
    if void is not None:
        new[void] = _IGNORED
    classes = {label: value for value, label in new.items() if label != _IGNORED}
    # A class that nobody has used keeps its number.
    order = [classes.get(label, label + shift) for label in range(len(labels.classes))]
    voids = [value for value, label in new.items() if label == _IGNORED]
    note = 'label maps in colour, all of them shades of grey'
    return Labels(
        labels.classes,
        labels.palette,
        _colour_loader([[value] * 3 for value in order], [[value] * 3 for value in voids]),
        notes=[note, *labels.notes],
        troubles=labels.troubles,
    )


def _colour_loader(classes: list[list[int]], voids: list[list[int]]) -> dict:
    loader: dict = dict(max_label=len(classes) - 1, palette=[*classes, *voids])
    if len(voids) == 1:
        loader['ignore_index'] = len(classes)
    elif voids:
        loader['label_map'] = {len(classes) + i: _IGNORED for i in range(len(voids))}
    return loader


def _tell_colours(
    values: Counter,
    named: tuple[Path, list[Named]] | None,
    classes: Sequence[str] | None,
    void: str | None,
) -> Labels:
    seen = [_rgb(code) for code in sorted(values)]
    voids: list[list[int]] = []
    if void is not None:
        voids = [_read_colour(void)]
    notes, troubles = [f'label maps in colour: {len(seen)} colours'], []
    entries = [(e.name, list(e.colour), e.is_void) for e in named[1] if e.colour] if named else []
    if classes is None and named and entries:
        notes.append(f'names and colours of classes from {visible(named[0])}')
        voids += [colour for _, colour, is_void in entries if is_void and colour not in voids]
        names = {name: colour for name, colour, _ in entries if colour not in voids}
        if others := [c for c in seen if c not in voids and c not in names.values()]:
            voids += others
            shown = listed([_show(colour) for colour in others])
            troubles.append(
                f'colours that {visible(named[0])} does not name, read as no label: {shown}'
            )
    else:
        rest = [colour for colour in seen if colour not in voids]
        if classes is not None and len(classes) != len(rest):
            shown = ' '.join(_show(colour) for colour in rest[:20])
            raise InputError(
                f'label maps have {len(rest)} colours ({shown}), but {len(classes)} classes are '
                f'named ({listed(classes)}); give one name for each colour, in this order, and '
                '--void R,G,B for one that means "no label"'
            )
        chosen = classes or [f'colour_{_show(colour).replace(",", "_")}' for colour in rest]
        names = dict(zip(chosen, rest, strict=True))
        notes.append('colours: ' + ', '.join(f'{name} {_show(c)}' for name, c in names.items()))
    if not 2 <= len(names) <= _MOST:
        raise InputError(
            f'label maps hold {len(names)} classes ({listed(list(names))}); expected 2 to {_MOST}'
        )
    if voids:
        shown = ' and '.join(_show(colour) for colour in voids)
        share = sum(values[r << 16 | g << 8 | b] for r, g, b in voids) / values.total()
        notes.append(f'no label: {shown} ({share:.1%} of the pixels)')
    elif classes is None and not entries:
        notes.append('no label: none; if a colour means "no label", say so: --void R,G,B')
    palette = list(names.values())
    return Labels(
        tuple(names), palette, _colour_loader(palette, voids), notes=notes, troubles=troubles
    )


def _show(colour: Sequence[int]) -> str:
    return ','.join(map(str, colour))


def _read_colour(text: str) -> list[int]:
    parts = text.split(',')
    if len(parts) != 3 or not all(part.isdigit() and int(part) < 256 for part in parts):
        raise InputError(f'--void has to be a colour of the maps, such as 0,0,0, got {text!r}')
    return [int(part) for part in parts]
