"""Count what every config costs, and write docs/model_zoo.md, the metafiles and model-index.yml."""

import argparse
import importlib.util
import inspect
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import Config, ConfigDict

import mmattn
from mmattn.datasets.benchmarks import find_reader
from mmattn.datasets.checks import datasets_in
from mmattn.probe.build import build
from mmattn.probe.count import (
    count_multiply_adds,
    count_parameters,
    counted_size,
    published_results,
)
from mmattn.probe.passes import BOX_PROPOSALS, MASK_PROPOSALS

ROOT = Path(__file__).resolve().parents[2]

# Folders of configs, and their headings.
FOLDERS = {
    'det': 'Detection',
    'seg': 'Segmentation',
    'cls': 'Classification',
    'pose': 'Pose estimation',
}
# What a metric is called, and the task that it is for in the words of OpenMMLab's metafiles.
METRICS = {
    'bbox_mAP': ('box AP', 'Object Detection'),
    'segm_mAP': ('mask AP', 'Instance Segmentation'),
    'mAP': ('mAP', 'Object Detection'),
    'mIoU': ('mIoU', 'Semantic Segmentation'),
    'mIoU_ms': ('mIoU (several scales)', 'Semantic Segmentation'),
    'PQ': ('PQ', 'Panoptic Segmentation'),
    'top1': ('top-1', 'Image Classification'),
    'AP': ('keypoint AP', 'Body 2D Keypoint'),
}
INTRODUCTION = """\
# Model zoo

Every config of this repository, what it costs here, and what its authors report. `python
docs/generate/model_zoo.py` builds each model and writes this page.

- **Parameters** are those of the whole model that is trained, auxiliary heads included.
- **Multiply-adds** are those of convolutions and matrix products for one image of the size given;
  norms, activations, poolings, resizing and the alignment of proposals are not counted. Two-stage
  detectors are counted as by mmdet 2.x, which the papers used: {boxes} proposals to every box head
  and {masks} to every mask head.
- **Published** figures are the papers' own and carry their rounding; * marks those that were not
  verified against the paper's text. `published` in a config says where they come from, and why a
  count of parameters differs by more than 1 %.
- **Not counted** are Mask2Former's multiply-adds, which depend on the values of the maps, and what
  needs a package that is not in requirements/ (mmpose).
- **Nothing on this page about accuracy was measured here.**
"""


def main() -> None:
    """Write the files, or with ``--check`` say which of them is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--check', action='store_true', help='compare, write nothing')
    args = parser.parse_args()
    logging.disable(logging.INFO)  # What models say while they are built.
    warnings.simplefilter('ignore')
    stale = []
    for path, text in pages().items():
        if args.check:
            if not path.is_file() or path.read_text(encoding='utf-8') != text:
                stale.append(path.relative_to(ROOT).as_posix())
        else:
            path.write_text(text, encoding='utf-8')
    if stale:
        sys.exit(f'error: {", ".join(stale)} out of date; run python docs/generate/model_zoo.py')


def list_configs(folder: Path, former: bool = False) -> list[Path]:
    """List the configs under a folder, without bases.

    Args:
        folder: Where to look.
        former: The former names, which only inherit from the new one and warn, and not the others.
    """
    paths = sorted(path for path in folder.rglob('*.py') if '_base_' not in path.parts)
    return [path for path in paths if ('_deprecation_' in path.read_text('utf-8')) == former]


def pages() -> dict[Path, str]:
    """Make the text of every file."""
    files = {}
    zoo = INTRODUCTION.format(boxes=BOX_PROPOSALS, masks=MASK_PROPOSALS)
    dump = partial(yaml.safe_dump, sort_keys=False, allow_unicode=True, width=100)
    metafiles = []
    for folder, heading in FOLDERS.items():
        models = [measure(path) for path in list_configs(ROOT / 'configs' / folder)]
        zoo += f'\n## {heading}\n\n{table(models)}'
        metafile = ROOT / 'configs' / folder / 'metafile.yml'
        metafiles.append(metafile.relative_to(ROOT).as_posix())
        collections = {model['collection'].__name__: model['collection'] for model in models}
        files[metafile] = dump(
            {
                'Collections': [describe_collection(cls) for _, cls in sorted(collections.items())],
                'Models': [describe(model) for model in models],
            }
        )
    files[ROOT / 'docs' / 'model_zoo.md'] = zoo
    files[ROOT / 'model-index.yml'] = dump({'Import': metafiles})
    return files


def find_collection(model: ConfigDict) -> type:
    """Give the class that a config is here for: attention, fusion or upsampling, or a backbone.

    Args:
        model: The ``model`` of a config, which has one of them.
    """
    found = {name.split('.')[-1] for name in types_in(model)}
    rooms = ('attention', 'fusion', 'upsampling')
    inserted = found.intersection(name for room in rooms for name in mmattn.list_modules(room))
    # A plain sum is what a config is here for where there is nothing else.
    [name] = (
        inserted - {'AddFusion'} or inserted or found.intersection(mmattn.list_modules('backbone'))
    )
    return getattr(mmattn, name)


def types_in(node: Any) -> Iterator[str]:
    """Give the names of all classes in a part of a config."""
    if isinstance(node, dict):
        if isinstance(node.get('type'), str):
            yield node['type']
        node = list(node.values())
    if isinstance(node, list | tuple):
        for part in node:
            yield from types_in(part)


def describe_collection(cls: type) -> dict:
    """Describe the models of one attention, fusion or backbone as a metafile does."""
    links = re.findall(r'`([^<`]+?)\s*<(http[^>]+)>`_', inspect.getdoc(cls) or '')
    papers = [(' '.join(title.split()), url) for title, url in links]
    name = collection_name(cls)
    # A backbone cites the paper of its attention, too.
    title, url = next((paper for paper in papers if paper[0].startswith(f'{name}:')), papers[0])
    return {'Name': name, 'Paper': {'Title': title, 'URL': url}}


def collection_name(cls: type) -> str:
    """Give the short name by which ``mim search mmattn --model`` finds a collection."""
    # What is left of CoordAttMobileNetV2 without its attention.
    return cls.__name__.removeprefix('CoordAtt') or cls.__name__


def measure(path: Path) -> dict:
    """Count one config."""
    cfg = Config.fromfile(path)
    size = counted_size(cfg)
    _, dataset = next(datasets_in(cfg.train_dataloader.dataset))
    found = find_reader(dataset)
    # Every config of ours is on data that we know.
    assert found is not None and size is not None
    _, reader = found
    measured: dict[str, float | None] = {}
    if importlib.util.find_spec(cfg.default_scope):
        model = build(cfg)
        measured['parameters'] = count_parameters(model)
        measured['flops'] = count_multiply_adds(model, (1, 3, *size))
    return dict(
        path=path.relative_to(ROOT).as_posix(),
        dataset=reader.title,
        size=size,
        collection=find_collection(cfg.model),
        published=published_results(cfg),
        **measured,
    )


def first(published: list[dict], key: str, default: Any = None) -> Any:
    """Look up what the first of several results says that says anything."""
    return next((result[key] for result in published if key in result), default)


def table(models: list[dict]) -> str:
    """Lay out a Markdown table, one line per config."""
    lines = [
        '| config | parameters | published | difference | multiply-adds | published | difference '
        '| at | reported accuracy |',
        '| --- | --: | --: | --: | --: | --: | --: | --- | --- |',
    ]
    for model in models:
        published = model['published']
        mark = '' if first(published, 'verified', True) else '*'
        accuracy = ', '.join(
            f'{value}{mark} {METRICS[name][0]}{start(result)}'
            for result in published
            for name, value in result.get('metrics', {}).items()
        )
        h, w = model['size']
        cells = [
            f'[{Path(model["path"]).stem}](../{model["path"]})',
            *compared(model.get('parameters'), 1e6, 'M', first(published, 'parameters'), mark),
            *compared(model.get('flops'), 1e9, 'G', first(published, 'flops'), mark),
            f'{w}x{h}',
            accuracy or 'none',
        ]
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def start(result: ConfigDict) -> str:
    """Say from which weights a result is, if it says so itself."""
    return f' from {result.weights} weights' if 'weights' in result else ''


def compared(
    ours: float | None, unit: float, suffix: str, theirs: float | None, mark: str
) -> list[str]:
    """Show a count, the published one, and by how much they differ."""
    value = None if ours is None else ours / unit
    digits = 3 if value is not None and value < 1 else 2
    return [
        'not counted' if value is None else f'{value:.{digits}f} {suffix}',
        'none' if theirs is None else f'{theirs} {suffix}{mark}',
        '' if value is None or theirs is None else f'{100 * (value / theirs - 1):+.1f} %',
    ]


def describe(model: dict) -> dict:
    """Describe one config as a metafile does."""
    entry: dict[str, Any] = {
        'Name': Path(model['path']).stem,
        'Config': model['path'],
        'In Collection': collection_name(model['collection']),
    }
    published = model['published']
    if model.get('parameters'):
        entry['Metadata'] = {'Parameters': model['parameters']}
        if model.get('flops'):
            entry['Metadata']['FLOPs'] = model['flops']
    results = [found for result in published for found in describe_result(result, model['dataset'])]
    if results:
        entry['Results'] = results
    return entry


def describe_result(result: ConfigDict, dataset: str) -> list[dict]:
    """Describe one published result as a metafile does, one entry for each task."""
    tasks: dict[str, dict] = {}
    for name, value in result.get('metrics', {}).items():
        label, task = METRICS[name]
        tasks.setdefault(task, {})[label] = value
    source = f'reported{start(result)} in {result.paper}, {result.where}; not measured here'
    return [
        {'Task': task, 'Dataset': dataset, 'Metrics': metrics, 'Source': source}
        for task, metrics in tasks.items()
    ]


if __name__ == '__main__':
    main()
