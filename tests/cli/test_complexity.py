"""The command that says what a model costs."""

import csv
import io
import json
from pathlib import Path

import pytest
from mmengine.config import Config

from mmattn.cli import complexity
from mmattn.cli.main import start
from mmattn.probe.build import build
from mmattn.probe.count import count_costs, count_parameters
from mmattn.probe.memory import count_training_memory

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'complexity.md'

NET = """
custom_imports = dict(imports=['mmattn'])
default_scope = 'mmengine'
model = dict(type='CoordAttMobileNetV2', out_indices=(0, 1))
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=500)
train_dataloader = dict(batch_size=3, dataset=dict(type='Nothing'))
"""
INSERTED = r"""
_base_ = 'net.py'
model = dict(
    _delete_=True,
    type='InsertAttention',
    host=dict(type='CoordAttMobileNetV2', out_indices=(0, 1), attention=None),
    sites=[dict(after=r'layer[12]\.\d', attention=dict(type='SE'))],
)
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('complexity')
    (folder / 'net.py').write_text(NET)
    (folder / 'inserted.py').write_text(INSERTED)
    return folder


@pytest.fixture
def call(folder, monkeypatch, capfd):
    """Give the exit status, the output and the errors of the command."""
    # The command would start anew, as another process.
    monkeypatch.setenv('OMP_WAIT_POLICY', 'PASSIVE')
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '-1')
    monkeypatch.chdir(folder)

    def call(*words):
        with pytest.raises(SystemExit) as stop:
            start(complexity, [str(word) for word in words])
        return stop.value.code, *capfd.readouterr()

    return call


def read(call, *words):
    status, out, err = call(*words, '--format', 'json')
    assert status == 0, err
    return json.loads(out)


def test_a_network_beside_the_one_without_its_attention(call, folder):
    found = read(call, 'net.py', '--shape', 64, 96)
    assert (found['shape'], found['batch_size']) == ([3, 64, 96], 3)
    assert [model['config'] for model in found['models']] == ['net.py', 'without attention']
    cfg = Config.fromfile(folder / 'net.py')
    attentions = (dict(type='CoordAtt', reduction=32), None)
    for model, attention in zip(found['models'], attentions, strict=True):
        cfg.model.attention = attention
        plain = build(cfg)
        costs = count_costs(plain, (1, 3, 64, 96)).values()
        memory = count_training_memory(plain, (3, 3, 64, 96))
        assert model['parameters'] == count_parameters(plain)
        assert model['multiply_adds'] == sum(cost.multiply_adds for cost in costs)
        assert model['operations'] == sum(cost.operations for cost in costs)
        assert model['activations'] == sum(cost.activations for cost in costs)
        assert model['kept'] == sum(memory.kept.values())
        assert model['peak'] == memory.peak > model['kept']
        parts = model['parts'].values()
        assert sum(part['parameters'] for part in parts) == model['parameters']
    assert found['models'][0]['attention'] == {'CoordAtt': 2}
    assert found['models'][1]['attention'] == {}


def test_what_was_inserted_is_there(call):
    """And the output is what was asked for, without the table that insertion logs."""
    inserted, host = read(call, 'inserted.py', '--shape', 3, 64, 64, '--depth', 1)['models']
    assert inserted['attention'] == {'SE': 3}
    assert inserted['parameters'] > host['parameters']
    assert set(host['parts']) == {'conv1', 'layer1', 'layer2'}


def test_two_configs(call):
    status, out, err = call('net.py', '--compare', 'inserted.py', '--shape', 64, 64)
    assert status == 0, err
    head = next(line for line in out.splitlines() if 'difference' in line)
    assert [cell.strip() for cell in head.split('┃')[2:-1]] == ['net', 'inserted', 'difference']
    assert 'more than inserted' in out


def test_the_same_in_every_format(call, folder):
    options = ('--shape', 64, 64, '--gpus', 2, '--memory', 8, '--depth', 1)
    data = read(call, 'net.py', *options)
    status, _, err = call('net.py', *options, '--format', 'csv', '--out', 'costs.csv')
    assert status == 0, err
    rows = list(csv.DictReader(io.StringIO((folder / 'costs.csv').read_text())))
    found = {(row['model'], row['part'], row['quantity']): row['value'] for row in rows}
    assert len(found) == len(rows)
    [net, _] = data['models']
    assert found['net.py', '', 'multiply_adds'] == str(net['multiply_adds'])
    assert found['net.py', '', 'attention.CoordAtt'] == '2'
    assert found['net.py', 'layer2', 'kept'] == str(net['parts']['layer2']['kept'])
    traffic = data['training']['plans']['DDP']['traffic']
    assert found['net.py', '', 'training.plans.DDP.traffic'] == str(traffic)
    status, out, _ = call('net.py', *options, '--format', 'markdown')
    assert status == 0
    millions = f'{net["parameters"] / 1e3:.2f} k'
    assert f'| parameters | {millions} |' in out
    assert out.count('| --- | --: |') == 3


def test_latency(call):
    options = ('--shape', 32, 32, '--latency', 1, 2, '--repeats', 2, '--warm-up', 0)
    found = read(call, 'net.py', *options, '--amp', '--channels-last')
    for model in found['models']:
        assert [timing['batch_size'] for timing in model['latency']] == [1, 2]
        for timing in model['latency']:
            assert (timing['device'], timing['amp'], timing['channels_last']) == ('cpu', True, True)
            assert timing['latency']['median'] > 0
    status, out, err = call('net.py', *options)
    assert status == 0, err
    assert 'latency, batch of 2, cpu ' in out


def test_a_training_on_several_gpus(call):
    known = ('--memory', 8, '--bandwidth', 10, '--step-time', 0.2)
    status, out, err = call('net.py', '--shape', 64, 64, '--gpus', 4, *known)
    assert status == 0, err
    rows = [[cell.strip() for cell in line.strip('│').split('│')] for line in out.splitlines()]
    rank = {row[0]: row[1:] for row in rows if len(row) == 3}
    assert rank['steps of the training'] == ['500', '500']
    assert rank['whole training (estimate)'][0] == '0.00 days'
    assert int(rank['largest batch in 8.00 GB'][0]) > 100
    assert out.splitlines()[-1] == (
        'to queue it: GPUS=4 GPUS_PER_NODE=4 TIME=1:00:00 tools/slurm_train.sh PARTITION JOB_NAME '
        'net.py'
    )


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--shape', 0, 64], 'got 0 64; give the height and width'),
        (['--shape', 64], 'got 64; give the height and width'),
        (['--shape', 1, 2, 3, 4], 'give the height and width'),
        (['--shape', 4, 64, 64], 'the model does not run on an image of 4 x 64 x 64'),
        (['--batch-size', 0], '--batch-size 0: expected a whole number from 1 on'),
        (['--latency', 1, 0], '--latency 0: expected whole numbers from 1 on'),
        (['--repeats', 0], '--repeats 0'),
        (['--depth', -1], '--depth -1'),
        (['--device', 'cuda'], 'PyTorch sees no CUDA device'),
        (['--amp'], 'give --latency 1'),
        (['--format', 'pdf'], 'expected one of table, markdown, csv, json'),
        (['--out', 'nowhere/x.csv'], 'nowhere is no folder'),
        (['--out', '.'], 'is a folder; name a file in it'),
        (['--compare', 'none.py'], 'config none.py is not a file'),
        (['--memory', 80], 'give --gpus N'),
        (['--gpus', 0], '--gpus 0'),
        (['--gpus', 2, '--bandwidth', 'nan'], '--bandwidth nan: expected a number above 0'),
        (['--cfg-options', 'model.widen_factor=-1'], 'widen_factor'),
    ],
    ids=lambda value: '-'.join(map(str, value)) if isinstance(value, list) else '',
)
def test_what_cannot_be_done_is_one_line(call, options, message):
    shape = [] if '--shape' in options else ['--shape', 64, 64]
    status, out, err = call('net.py', *shape, *options)
    assert (status, out) == (1, '')
    [line] = err.splitlines()
    assert line.startswith('error: ') and message in line


@pytest.mark.parametrize(
    'words',
    [
        'mmattn::cls/mobilenetv2-coordatt_in1k.py --batch-size 2 --format markdown',
        pytest.param(
            'mmattn::seg/upernet_van_b6_fsdp_ade20k.py --shape 512 512 --batch-size 4 --gpus 8 '
            '--memory 80 --bandwidth 10 --step-time 0.5 --depth 0 --format markdown',
            marks=pytest.mark.slow,
        ),
    ],
    ids=['count', 'cluster'],
)
def test_the_page_shows_what_is_written(call, words):
    status, out, err = call(*words.split())
    assert status == 0, err
    page = PAGE.read_text(encoding='utf-8')
    assert words in ' '.join(page.split())
    assert f'\n\n{out.strip()}\n\n' in page
