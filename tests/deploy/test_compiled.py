import numpy as np
import pytest

from mmattn.deploy import compiled
from mmattn.deploy.deployment import batch_of, image_for
from mmattn.deploy.exported import load_exported
from mmattn.errors import InputError
from tests.deploy.conftest import SIZE
from tests.helpers import needs_torch


@pytest.mark.slow
@needs_torch('2.6', 'compiling ahead')
def test_gives_what_the_model_gives(deployed, model):
    path, report = deployed('classification', 'compile', dynamic=False, size=SIZE)
    assert compiled.is_compiled(str(path))
    assert report['differences']['score'] < 1e-5
    exported, loaded = load_exported(path, trusted=True), model('classification')
    batch = batch_of(loaded, image_for(loaded, SIZE, given=True))
    [expected], [found] = loaded.run(batch), exported.run(batch)
    scores = found['scores'][np.argsort(found['labels'])][expected['labels']]
    np.testing.assert_allclose(scores, expected['scores'], rtol=1e-3, atol=1e-6)
    assert exported.metadata == report['metadata']


@needs_torch('2.6', 'exporting')
def test_a_program_is_not_compiled(deployed):
    assert not compiled.is_compiled(str(deployed('classification', 'export')[0]))


def test_says_what_is_missing_or_damaged(tmp_path, monkeypatch):
    (tmp_path / 'x.pt2').write_bytes(b'nothing')
    assert not compiled.is_compiled(str(tmp_path / 'x.pt2'))
    monkeypatch.setattr(compiled.shutil, 'which', lambda name: None)
    with pytest.raises(InputError, match=r'--to compile needs a compiler of C\+\+; install g\+\+'):
        compiled.check_compiler()


@needs_torch('2.6', 'compiling ahead')
def test_refuses_what_is_damaged(tmp_path):
    (tmp_path / 'x.pt2').write_bytes(b'nothing')
    with pytest.raises(InputError, match=r'x.pt2 is damaged, or was compiled for another machine'):
        compiled.read(str(tmp_path / 'x.pt2'))
