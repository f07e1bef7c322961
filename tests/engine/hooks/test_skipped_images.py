import numpy as np
import pytest
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS
from PIL import Image

from mmattn.datasets.loading import LoadImage
from mmattn.engine.hooks.skipped_images import count_skips
from mmattn.errors import InputError


@DATASETS.register_module()
class Pictures(BaseDataset):
    def __init__(self, folder, **kwargs):
        self.folder = folder
        super().__init__(**kwargs)

    def load_data_list(self):
        return [dict(img_path=str(path)) for path in sorted(self.folder.glob('*.png'))]


def pictures(folder, **options):
    for i in range(4):
        Image.fromarray(np.full((4, 4, 3), i, dtype=np.uint8)).save(folder / f'{i}.png')
    (folder / '1.png').write_bytes((folder / '1.png').read_bytes()[:40])
    return Pictures(folder, pipeline=[dict(type='LoadImage', **options)])


@pytest.mark.parametrize('workers', [0, 2])
def test_left_out_counted_and_named(tmp_path, workers, capfd):
    from torch.utils.data import DataLoader

    dataset = pictures(tmp_path, max_skips=10)
    loader = DataLoader(dataset, num_workers=workers, collate_fn=lambda items: items)
    images = [item['img'] for [item] in loader]
    assert len(images) == 4
    assert 1 <= count_skips(dataset) <= 10
    err = capfd.readouterr().err
    assert f'image {tmp_path / "1.png"} cannot be read' in err
    assert err.count('left out, ') == count_skips(dataset)


def test_an_error_when_used_up_and_by_default(tmp_path):
    with pytest.raises(InputError, match=r'1\.png cannot be read'):
        pictures(tmp_path)[1]
    dataset = pictures(tmp_path, max_skips=2)
    load = dataset.pipeline.transforms[0]
    broken = dict(img_path=str(tmp_path / '1.png'))
    assert load(dict(broken)) is None and load(dict(broken)) is None
    with pytest.raises(InputError, match=r'1\.png cannot be read'):
        load(dict(broken))
    assert count_skips(dataset) == 2


def test_bad_option():
    with pytest.raises(ValueError, match='max_skips of 0 or more'):
        LoadImage(max_skips=-1)
