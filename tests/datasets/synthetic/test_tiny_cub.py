import pytest

from mmattn.datasets.synthetic.tiny_cub import make_tiny_cub


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('cub') / 'CUB_200_2011'
    make_tiny_cub(root, train=8, val=6, size=(32, 32))
    return root


def test_the_lists_number_the_images_alike(root):
    names, labels, splits = (
        [line.split() for line in (root / f'{name}.txt').read_text().splitlines()]
        for name in ('images', 'image_class_labels', 'train_test_split')
    )
    for pairs in (names, labels, splits):
        assert [number for number, _ in pairs] == [str(k + 1) for k in range(14)]
    assert names[0][1] == '001.Black_footed_Albatross/Black_footed_Albatross_0001_train.jpg'
    assert {name for _, name in names} == {
        p.relative_to(root / 'images').as_posix() for p in (root / 'images').glob('*/*')
    }
    assert [int(name[:3]) for _, name in names] == [int(label) for _, label in labels]
    assert [split for _, split in splits] == ['1'] * 8 + ['0'] * 6


@pytest.mark.parametrize(('split', 'count'), [('train', 8), ('test', 6)])
def test_mmpretrain_reads_it(root, split, count):
    datasets = pytest.importorskip('mmpretrain.datasets', reason='needs mmpretrain')
    dataset = datasets.CUB(data_root=str(root), split=split)
    assert len(dataset.metainfo['classes']) == 200
    assert len(dataset) == count
    for k in range(count):
        info = dataset.get_data_info(k)
        name = info['img_path'].removeprefix(f'{root}/images/')
        assert int(name[:3]) == info['gt_label'] + 1
