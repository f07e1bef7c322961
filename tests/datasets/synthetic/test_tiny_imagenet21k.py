import pytest

from mmattn.datasets.synthetic.tiny_imagenet21k import make_tiny_imagenet21k


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('imagenet21k') / 'imagenet21k'
    make_tiny_imagenet21k(root, train=8, val=7, size=(32, 32))
    return root


def listed(root, name):
    lines = (root / 'meta' / f'{name}.txt').read_text().splitlines()
    return {path: int(label) for path, label in (line.split() for line in lines)}


def test_the_lists_share_the_images_and_number_the_folders(root):
    train, val = listed(root, 'train'), listed(root, 'val')
    assert (len(train), len(val)) == (8, 7)
    found = {p.relative_to(root / 'train').as_posix() for p in (root / 'train').glob('*/*.JPEG')}
    assert train.keys() | val.keys() == found and not train.keys() & val.keys()
    labels = {(path.split('/')[0], label) for path, label in (train | val).items()}
    assert sorted(labels) == [
        ('n02690373', 0),
        ('n02823428', 1),
        ('n03100240', 2),
        ('n03991062', 3),
        ('n04612504', 4),
        ('n09835506', 5),
    ]


@pytest.mark.parametrize('name', ['train', 'val'])
def test_mmpretrain_reads_it(root, name):
    datasets = pytest.importorskip('mmpretrain.datasets', reason='needs mmpretrain')
    options = dict(data_prefix='train', ann_file=f'meta/{name}.txt')
    dataset = datasets.ImageNet21k(data_root=str(root), **options)
    infos = [dataset.get_data_info(k) for k in range(len(dataset))]
    read = {i['img_path'].removeprefix(f'{root}/train/'): i['gt_label'] for i in infos}
    assert read == listed(root, name)
