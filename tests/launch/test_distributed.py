import logging
import os

import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmattn.errors import InputError
from mmattn.insertion import InsertAttention
from mmattn.launch import agreement, distributed


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for names in distributed._VARIABLES.values():
        for name in names:
            monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    yield
    # To join a group is to say so in the environment.
    os.environ.clear()
    os.environ.update(before)


def test_one_process_forms_no_group(capsys):
    distributed.prepare(Config(dict(launcher='none')))
    assert distributed.group() is None
    assert capsys.readouterr() == ('', '')


@pytest.mark.parametrize(
    ('count', 'launcher'), [('SLURM_NTASKS', 'slurm'), ('WORLD_SIZE', 'pytorch')]
)
def test_warns_of_a_forgotten_launcher(monkeypatch, capsys, count, launcher):
    monkeypatch.setenv(count, '4')
    distributed.prepare(Config(dict(launcher='none')))
    assert f'warning: {count} is 4, but without --launcher {launcher} ' in capsys.readouterr().err


def test_one_task_warns_of_it(monkeypatch, capsys):
    monkeypatch.setenv('SLURM_NTASKS', '4')
    monkeypatch.setenv('SLURM_PROCID', '1')
    distributed.prepare(Config(dict(launcher='none')))
    assert capsys.readouterr().err == ''


@pytest.mark.parametrize(
    ('launcher', 'message'),
    [
        ('pytorch', 'RANK, WORLD_SIZE, LOCAL_RANK is not set; start with tools/dist_train.sh'),
        ('slurm', 'SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID is not set; start with tools/slurm'),
    ],
)
def test_launcher_that_did_not_start_it(launcher, message):
    with pytest.raises(InputError, match=message):
        distributed.prepare(Config(dict(launcher=launcher)))


@pytest.mark.parametrize('name', ['timeout', 'join_timeout'])
def test_timeouts_are_seconds(monkeypatch, name):
    for variable, value in zip(distributed._VARIABLES['pytorch'], '010', strict=True):
        monkeypatch.setenv(variable, value)
    cfg = Config(dict(launcher='pytorch', env_cfg=dict(dist_cfg={name: '30min'})))
    with pytest.raises(InputError, match=f"dist_cfg.{name} has .* seconds, got '30min'"):
        distributed.prepare(cfg)


def joins(monkeypatch, launcher='pytorch', **variables):
    """Start as rank 1 of 2 at an address where nobody is."""
    names = distributed._VARIABLES[launcher]
    there = dict(zip(names, '121', strict=True), MASTER_ADDR='127.0.0.1', MASTER_PORT='1')
    for name, value in {**there, **variables}.items():
        monkeypatch.setenv(name, value)
    dist_cfg = dict(join_timeout=0.01)
    distributed.prepare(Config(dict(launcher=launcher, env_cfg=dict(dist_cfg=dist_cfg))))


@pytest.mark.parametrize(
    ('launcher', 'variable', 'value', 'message'),
    [
        ('pytorch', 'RANK', 'x', "RANK has to be a whole number from 0 to 1, got 'x'"),
        ('pytorch', 'RANK', '2', "RANK .* from 0 to 1, got '2'"),
        ('pytorch', 'RANK', '-1', "RANK .* from 0 to 1, got '-1'"),
        ('pytorch', 'RANK', '', "RANK .* from 0 to 1, got ''"),
        ('pytorch', 'WORLD_SIZE', '0', "WORLD_SIZE has to be a whole number from 1 on, got '0'"),
        ('pytorch', 'WORLD_SIZE', '2.0', "WORLD_SIZE .* from 1 on, got '2.0'"),
        ('pytorch', 'LOCAL_RANK', '\u0661', 'LOCAL_RANK .* from 0 to 1'),
        ('pytorch', 'MASTER_PORT', '99999', "MASTER_PORT .* from 1 to 65535, got '99999'"),
        ('pytorch', 'MASTER_PORT', '0x50', "MASTER_PORT .* from 1 to 65535, got '0x50'"),
        ('pytorch', 'MASTER_ADDR', '', 'MASTER_ADDR is not set'),
        ('slurm', 'SLURM_PROCID', 'x', "SLURM_PROCID .* from 0 to 1, got 'x'"),
        ('slurm', 'SLURM_JOB_ID', '7_1', "SLURM_JOB_ID .* from 0 on, got '7_1'"),
    ],
)
def test_numbers_of_the_launcher(monkeypatch, launcher, variable, value, message):
    with pytest.raises(InputError, match=message):
        joins(monkeypatch, launcher, **{variable: value})


@pytest.mark.parametrize('value', ['1', '01'])
def test_a_number_may_begin_with_a_zero(monkeypatch, value):
    with pytest.raises(InputError, match='rank 0 does not answer at 127.0.0.1:1 within 0.01 s'):
        joins(monkeypatch, RANK=value)


def test_numbers_of_no_launcher_are_nobodys(monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', 'x')
    monkeypatch.setenv('RANK', 'x')
    distributed.prepare(Config(dict(launcher='none')))
    assert distributed.group() is None


@pytest.mark.parametrize(
    ('host', 'expected'),
    [
        *[('127.0.0.1', True), ('127.0.1.1', True), ('::1', True), ('localhost', True)],
        *[('10.0.0.1', False), ('node1', False), ('fe80::1', False), ('0.0.0.0', False)],
    ],
)
def test_address_of_one_node(host, expected):
    assert distributed.is_loopback(host) is expected


def rank(gpu, host='a'):
    return dict(host=host, gpu=gpu, device=f'cuda:{gpu}')


def test_each_rank_has_a_gpu_of_its_own():
    distributed.check_devices([rank('1'), rank('2'), rank('1', 'b'), rank(None), rank(None)])
    with pytest.raises(InputError) as error:
        distributed.check_devices([rank('1', 'b'), rank('1'), rank('2'), rank('2')])
    assert str(error.value) == (
        '3 ranks on a, but 2 GPU(s): ranks 2, 3 would share cuda:2; start as many ranks as there '
        'are GPUs'
    )


class OneRank:
    """A store, of which this rank writes its part and knows the other one."""

    def __init__(self, **notes):
        self.notes = notes

    def set(self, key, value):
        self.notes[key] = value

    def get(self, key):
        return self.notes[key]


def compare(cfg, other):
    ranks = [agreement.facts(Config(cfg)), agreement.facts(Config(other))]
    store = OneRank()
    for i, mine in enumerate((cfg, other)):
        try:
            agreement.check(Config(mine), i, ranks, store)
        except KeyError:
            # The note of the other rank is not there yet: a real store waits.
            continue
    agreement.check(Config(cfg), 0, ranks, store)


CFG = dict(model=dict(type='A', norm=nn.BatchNorm2d), lr=[0.1, dict(k=1)], empty={})


def test_same_configs_agree():
    compare(CFG, {**CFG})


@pytest.mark.parametrize(
    ('change', 'difference'),
    [
        (dict(lr=[0.1, dict(k=2)]), 'lr.1.k is 2 on rank 1, 1 on rank 0'),
        (dict(lr=[0.1]), 'lr.1.k is None on rank 1, 1 on rank 0'),
        (dict(empty=dict(a=1)), r'empty is None on rank 1, \{\} on rank 0 \(and 1 more\)'),
        (dict(model=dict(type='A', norm=nn.SyncBatchNorm)), 'model.norm is torch.*SyncBatchNorm'),
    ],
    ids=['value', 'missing', 'added', 'class'],
)
def test_names_what_differs(change, difference):
    with pytest.raises(InputError, match=f'rank 1 ran another config than rank 0: {difference}'):
        compare(CFG, {**CFG, **change})


@pytest.mark.parametrize('name', ['mmattn', 'torch', 'arguments'])
def test_names_the_ranks_with_other_code(name):
    mine = agreement.facts(Config(CFG))
    ranks = [mine, {**mine, name: 'x'}, mine, {**mine, name: 'x'}]
    with pytest.raises(InputError, match=f"ranks 1, 3 ran another {name} than rank 0: 'x' on rank"):
        agreement.check(Config(CFG), 2, ranks, OneRank())


def test_sources_are_compared(tmp_path, monkeypatch):
    texts = []
    for text in ('a = 1', 'a = 2'):
        (tmp_path / 'launch').mkdir(exist_ok=True)
        (tmp_path / '__init__.py').write_text(text)
        monkeypatch.setattr(agreement, '__file__', str(tmp_path / 'launch/agreement.py'))
        texts.append(agreement.facts(Config(CFG))['mmattn'])
    assert texts[0] != texts[1]


def test_sync_bn_becomes_bn_on_the_cpu(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    logger = logging.getLogger('test_distributed')
    caplog.set_level(logging.INFO)
    cfg = Config(dict(sync_bn='torch'))
    model = distributed.revert_sync_bn(nn.Sequential(nn.SyncBatchNorm(3)), cfg, logger)
    assert type(model(torch.rand(2, 3, 4, 4))) is torch.Tensor
    assert 'sync_bn' not in cfg
    assert len(caplog.messages) == 1
    assert 'SyncBN does not run on the CPU' in caplog.text
    caplog.clear()
    distributed.revert_sync_bn(nn.Sequential(nn.BatchNorm2d(3)), Config(), logger)
    assert caplog.messages == []


def test_attention_behind_a_sync_bn_stays_when_it_becomes_bn(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    host = nn.Sequential(nn.Conv2d(3, 8, 1), nn.SyncBatchNorm(8))
    site = dict(after='1', attention=dict(type='CoordAtt', norm_cfg=dict(type='SyncBN')))
    model = InsertAttention(host, [site], start='paper')
    model = distributed.revert_sync_bn(model, Config(), logging.getLogger('test_distributed'))
    assert type(model[1].inserted_attention.coord_att.bn1).__name__ == '_BatchNormXd'
    x = torch.rand(2, 3, 4, 5)
    before = model[1].inserted_attention.coord_att.bn1.running_mean.clone()
    with_attention = model(x)
    assert not torch.equal(before, model[1].inserted_attention.coord_att.bn1.running_mean)
    plain = model[1].inserted_attention.coord_att
    plain.attend = lambda x: x
    assert not torch.equal(with_attention, model(x))


@pytest.mark.parametrize(
    ('given', 'expected'),
    [
        (None, dict(broadcast_buffers=False, find_unused_parameters=True, device_ids=None)),
        (dict(static_graph=True), dict(static_graph=True, device_ids=None)),
        (
            dict(type='MMFullyShardedDataParallel'),
            dict(type='MMFullyShardedDataParallel'),
        ),
    ],
    ids=['default', 'options', 'other'],
)
def test_no_device_ids_on_the_cpu(monkeypatch, given, expected):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    cfg = Config(dict(find_unused_parameters=True))
    assert distributed.data_parallel_options(given, cfg) == expected


def test_gpus_keep_mmengines_way(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    assert distributed.data_parallel_options(None, Config()) is None


@pytest.mark.parametrize(('local_rank', 'index'), [(0, 0), (3, 0)])
def test_a_task_that_sees_one_gpu_takes_it(monkeypatch, local_rank, index):
    """As with ``--gpus-per-task``."""
    taken = []
    properties = type('Properties', (), dict(name='GPU', uuid='u'))
    monkeypatch.setenv('LOCAL_RANK', str(local_rank))
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    monkeypatch.setattr(torch.cuda, 'set_device', taken.append)
    monkeypatch.setattr(torch.cuda, 'get_device_properties', lambda i: properties)
    assert distributed._take_device(local_rank) == dict(device=f'cuda:{index} GPU', gpu='u')
    assert taken == [index]
