import numpy as np
import pytest
from PIL import Image

from mmattn.datasets.synthetic.tiny_imagenet import LABELS, make_tiny_imagenet

# What the benchmark calls what is drawn.
NAMES = {
    'airplane': 'airliner',
    'boat': 'yawl',
    'bottle': 'beer bottle',
    'car': 'convertible',
    'person': 'ballplayer',
    'plant': 'flowerpot',
}


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('imagenet') / 'imagenet'
    make_tiny_imagenet(root, train=24, val=36)
    return root


def listed(root, split):
    lines = (root / 'meta' / f'{split}.txt').read_text().splitlines()
    return [(path, int(label)) for path, label in (line.split() for line in lines)]


@pytest.mark.parametrize(('split', 'count'), [('train', 24), ('val', 36)])
def test_lists_name_every_image_with_the_label_of_its_folder(root, split, count):
    paths, labels = zip(*listed(root, split), strict=True)
    found = {p.relative_to(root / split).as_posix() for p in (root / split).glob('*/*.JPEG')}
    assert set(paths) == found
    assert len(found) == count
    assert {(path.split('/')[0], k) for path, k in zip(paths, labels, strict=True)} == set(
        LABELS.values()
    )


@pytest.mark.parametrize('split', ['train', 'val'])
def test_mmpretrain_reads_it(root, split):
    datasets = pytest.importorskip('mmpretrain.datasets', reason='needs mmpretrain')
    dataset = datasets.ImageNet(data_root=str(root), split=split)
    classes = dataset.metainfo['classes']
    assert len(classes) == 1000
    expected = dict(listed(root, split))
    for k in range(len(dataset)):
        info = dataset.get_data_info(k)
        assert info['gt_label'] == expected[info['img_path'].removeprefix(f'{root}/{split}/')]
    assert len(dataset) == len(expected)
    for drawn, (_, label) in LABELS.items():
        assert NAMES[drawn] in classes[label]


def test_ids_are_in_the_order_of_the_labels():
    pairs = sorted(LABELS.values())
    assert [label for _, label in pairs] == sorted(label for _, label in pairs)


def test_classes_can_be_told_apart(root):
    """The nearest class by its mean picture is right at least twice as often as chance."""

    def pictures(split):
        for path, label in listed(root, split):
            image = Image.open(root / split / path).resize((24, 24), Image.Resampling.BOX)
            pixels = np.asarray(image, float)
            yield np.abs(pixels - np.median(pixels, (0, 1))).mean(2).ravel(), label

    features, labels = map(np.array, zip(*pictures('train'), strict=True))
    means = {label: features[labels == label].mean(0) for label in set(labels.tolist())}
    hits = [
        min(means, key=lambda label: np.abs(means[label] - x).sum()) == truth
        for x, truth in pictures('val')
    ]
    assert np.mean(hits) > 2 / len(means)
