"""What pip installs, what it needs and what it leaves behind; nothing here needs a network."""

import ast
import hashlib
import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from unittest.mock import Mock

import pytest
import setuptools
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text(encoding='utf-8')
LINK = r'!?\[[^][]*\]\(([^()\s]*)\)'


@pytest.fixture(scope='module')
def dist(tmp_path_factory):
    """Build wheel and sdist of a copy, since setuptools writes into what it builds from."""
    folder = tmp_path_factory.mktemp('package')
    ignore = shutil.ignore_patterns('.*', '__pycache__', 'build', 'dist', 'work_dirs', 'data')
    shutil.copytree(ROOT, folder / 'source', ignore=ignore)
    code = (
        'import sys; from setuptools import build_meta; out = sys.argv[1]; '
        'build_meta.build_sdist(out); build_meta.build_wheel(out)'
    )
    command = [sys.executable, '-c', code, folder / 'dist']
    done = subprocess.run(command, cwd=folder / 'source', capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / 'dist'


@pytest.fixture(scope='module')
def wheel(dist):
    [path] = dist.glob('*.whl')
    return path


@pytest.fixture(scope='module')
def metadata(wheel) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith('.dist-info/METADATA')]
        return Parser().parsestr(archive.read(name).decode())


def required(metadata, extra):
    found = [line.split(';') for line in metadata.get_all('Requires-Dist')]
    return {name for name, *when in found if (f'"{extra}"' in when[0] if when else extra is None)}


def test_needs_torch_and_numpy_only(metadata):
    assert required(metadata, None) == {'torch>=2.1', 'numpy'}


def test_extras_bring_the_forks(metadata):
    onedl = {'onedl-mmengine>=0.10.12', 'onedl-mmcv>=2.3.6'}
    assert required(metadata, 'onedl') == onedl
    for extra, fork in dict(det='mmdetection', seg='mmsegmentation', cls='mmpretrain').items():
        [more] = required(metadata, extra) - onedl
        assert more.startswith(f'onedl-{fork}>=') and onedl < required(metadata, extra)


def test_tools_bring_what_commands_import(metadata):
    """Nothing of OpenMMLab, and no opencv, of which mmcv has chosen one."""
    imported = set()
    for path in (ROOT / 'mmattn').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module.split('.')[0])
            elif isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'import_optional':
                imported |= {arg.value.split('.')[0] for arg in node.args[:1] if is_text(arg)}
    others = {*sys.stdlib_module_names, 'mmattn', 'numpy', 'cv2', 'timm', 'pytest'}
    others |= {'torch', 'torchvision'}
    third = {name for name in imported - others if not name.startswith('mm')}
    names = {'PIL': 'pillow', 'pytorch_grad_cam': 'grad-cam'}
    brought = set().union(*(required(metadata, extra) for extra in ('tools', 'app', 'deploy')))
    assert brought == {names.get(name, name) for name in third}


def is_text(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def test_says_what_it_is(metadata):
    assert metadata['Name'] == 'mmattn' and metadata['Author'] == 'The mmattn authors'
    assert f"__version__ = '{metadata['Version']}'" in (ROOT / 'mmattn/__init__.py').read_text()
    assert f'version: {metadata["Version"]}\n' in (ROOT / 'CITATION.cff').read_text()
    assert 'Apache-2.0' in (metadata['License'], metadata['License-Expression'])
    assert metadata['Requires-Python'] == '>=3.10' and len(metadata.get_all('Classifier')) > 5
    assert 'attention' in metadata['Keywords'] and metadata['Summary']
    assert metadata['Description-Content-Type'] == 'text/markdown'


def test_description_is_the_readme_without_what_leads_nowhere(metadata):
    text = metadata.get_payload()
    assert text.startswith('# mmattn\n') and '![' not in text and '<!--' not in text
    assert [link for link in re.findall(LINK, text) if '://' not in link] == []
    # Code is as it was, but for what needs a clone.
    blocks = re.findall(r'```.*?```', text, re.DOTALL)
    assert len(blocks) >= 4 and all(block in README for block in blocks)
    assert 'make demo' not in ''.join(blocks) and 'pip install' in blocks[0]
    headings = re.findall(r'^#+ .*', README, re.MULTILINE)
    assert [each for each in headings if each not in text] == ['## In a clone']


def test_source_has_docs_requirements_and_tests(dist):
    [path] = dist.glob('*.tar.gz')
    with tarfile.open(path) as archive:
        names = {name.partition('/')[2] for name in archive.getnames()}
    wanted = {
        *(link.partition('#')[0] for link in re.findall(LINK, README) if '://' not in link),
        *('README.md', 'Makefile', 'conftest.py', 'mkdocs.yml', 'model-index.yml', 'setup.py'),
        *('pyproject.toml', 'configs/seg/metafile.yml', 'tools/dist_train.sh'),
        *(path.relative_to(ROOT).as_posix() for path in (ROOT / 'requirements').iterdir()),
        *(path.relative_to(ROOT).as_posix() for path in (ROOT / 'docs').rglob('*.md')),
        *(path.relative_to(ROOT).as_posix() for path in (ROOT / 'tests').rglob('*.py')),
    }
    assert wanted - names == set()
    assert not any('__pycache__' in name for name in names)


def test_wheel_has_what_mim_looks_for(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    shipped = [
        path
        for folder in ('configs', 'tools')
        for path in (ROOT / folder).rglob('*')
        if path.is_file() and '__pycache__' not in path.parts
    ]
    assert {f'mmattn/.mim/{path.relative_to(ROOT).as_posix()}' for path in shipped} <= names
    assert {'mmattn/.mim/model-index.yml', 'mmattn/py.typed'} <= names
    tops = {name.split('/')[0] for name in names}
    assert {top for top in tops if not top.endswith('.dist-info')} == {'mmattn'}


def test_packs_with_setuptools_that_has_no_editable_mode(monkeypatch, tmp_path):
    monkeypatch.delattr(build_py, 'editable_mode')
    monkeypatch.setattr(setuptools, 'setup', lambda **options: None)
    command = runpy.run_path(str(ROOT / 'setup.py'))['BuildWithMim'](setuptools.Distribution())
    command.ensure_finalized()
    command.build_lib = str(tmp_path)
    command.run()
    assert (tmp_path / 'mmattn/.mim/configs/_base_').is_dir()
    command.editable_mode = True
    command.build_lib = str(tmp_path / 'editable')
    command.run()
    assert not (tmp_path / 'editable').exists()


def test_setuptools_that_does_not_read_pyproject_is_told_the_same(monkeypatch, metadata):
    monkeypatch.setattr(setuptools, '__version__', '60.2.0')
    monkeypatch.setattr(setuptools, 'setup', told := Mock())
    monkeypatch.chdir(ROOT)
    runpy.run_path(str(ROOT / 'setup.py'))
    options = told.call_args.kwargs
    assert [options['name'], options['version']] == [metadata['Name'], metadata['Version']]
    assert set(options['install_requires']) == required(metadata, None)
    extras = set(metadata.get_all('Provides-Extra'))
    assert set(options['extras_require']) == extras
    for extra in extras:
        assert set(options['extras_require'][extra]) == required(metadata, extra)
    assert options['classifiers'] == metadata.get_all('Classifier')
    assert options['python_requires'] == metadata['Requires-Python']
    assert options['entry_points'] == {'console_scripts': ['mmattn = mmattn.cli.main:main']}
    assert {'mmattn', 'mmattn.attention'} < set(options['packages'])


def pip(python, *words):
    """Run this pip on another environment, by no settings and with nothing to download from."""
    env = {name: value for name, value in os.environ.items() if not name.startswith('PIP_')}
    env |= {'PIP_CONFIG_FILE': os.devnull, 'PYTHONPATH': ''}
    command = [sys.executable, '-m', 'pip', '--isolated', '--python', python, *words]
    return subprocess.run(command, env=env, capture_output=True, text=True)


def site_of(folder):
    """Give the site-packages of an environment."""
    [site] = folder.glob('lib/python*/site-packages')
    return site


@pytest.fixture(scope='module')
def installed(wheel, tmp_path_factory):
    """Install the wheel beside stubs of what stands in a stock environment, and look around."""
    folder = tmp_path_factory.mktemp('stock')
    venv.create(folder, with_pip=False)
    stubs = {'torch': '2.1.2', 'numpy': '1.26.4', 'mmengine': '0.10.7', 'mmcv': '2.1.0'}
    for name, version in stubs.items():
        info = site_of(folder) / f'{name}-{version}.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')
        (info / 'INSTALLER').write_text('pip\n')
        (info / 'RECORD').write_text(f'{name}/__init__.py,,\n')
        (site_of(folder) / name).mkdir()
        (site_of(folder) / name / '__init__.py').write_text(f'__version__ = {version!r}\n')
    before = checksums(folder)
    done = pip(folder / 'bin/python', 'install', '--no-index', '--no-compile', wheel)
    assert done.returncode == 0, done.stderr
    return folder, before


def checksums(folder):
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob('*')
        if path.is_file() and '__pycache__' not in path.parts
    }


def test_installs_beside_what_is_there_and_goes_without_a_trace(installed):
    folder, before = installed
    after = checksums(folder)
    assert {path: after.get(path) for path in before} == before
    new = {path for path in after if path not in before}
    site = site_of(folder).relative_to(folder)
    tops = {path.relative_to(site).parts[0] for path in new if path.is_relative_to(site)}
    assert {top.partition('-')[0] for top in tops} == {'mmattn'}
    assert {path for path in new if not path.is_relative_to(site)} == {Path('bin/mmattn')}
    frozen = pip(folder / 'bin/python', 'list', '--format=freeze').stdout.split()
    names = {line.partition('=')[0] for line in frozen}
    assert names == {'torch', 'numpy', 'mmengine', 'mmcv', 'mmattn'}
    done = pip(folder / 'bin/python', 'uninstall', '--yes', 'mmattn')
    assert done.returncode == 0, done.stderr
    assert checksums(folder) == before


@pytest.fixture(scope='module')
def run(wheel, tmp_path_factory):
    """Run what is installed in an environment of its own, from an empty folder."""
    folder = tmp_path_factory.mktemp('bare')
    venv.create(folder, with_pip=False)
    done = pip(folder / 'bin/python', 'install', '--no-deps', '--no-index', wheel)
    assert done.returncode == 0, done.stderr
    # The packages that these tests run on; not what their own .pth files add, such as a checkout.
    (site_of(folder) / 'stack.pth').write_text(sysconfig.get_path('purelib') + '\n')
    empty = folder / 'empty'
    empty.mkdir()
    env = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    env |= {'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''}

    def run(program, *words):
        command = [folder / 'bin' / program, *words]
        done = subprocess.run(command, cwd=empty, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    run.folder = folder
    return run


def test_finds_its_configs_without_a_clone(run):
    code = (
        'import mmattn; from mmattn.engine.config import load_config; print(mmattn.__file__); '
        'print(load_config("mine.py").filename, load_config("mine.py").model.backbone); '
        'print(load_config("mmattn::seg/upernet_van_b2_ade20k.py").filename)'
    )
    base = "_base_ = ['mmattn::seg/upernet_van_b0_ade20k.py']"
    text = f"{base}\nmodel = dict(backbone=dict(arch='b3'))"
    (run.folder / 'empty' / 'mine.py').write_text(text)
    package, mine, shipped = run('python', '-c', code).splitlines()
    assert Path(package).is_relative_to(run.folder)
    assert "'type': 'VAN'" in mine and "'arch': 'b3'" in mine
    assert Path(shipped) == Path(package).parent / '.mim/configs/seg/upernet_van_b2_ade20k.py'


def test_commands_work_without_a_clone(run):
    assert run('mmattn', '--help').startswith('usage: mmattn ')
    config = 'mmattn::cls/mobilenetv2_w050-coordatt_in1k.py'
    table = run('mmattn', 'sites', config, '--pattern', r'backbone\.layers?\.?\d.*')
    assert 'name' in table.splitlines()[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ('words', 'said'),
    [
        ('list --kind fusion', 'AFF'),
        ('complexity mmattn::seg/upernet_van_b0_ade20k.py', 'parameters '),
        ('data make voc --out voc --train 2 --val 1', 'give this folder to VOCDataset'),
        (
            'train mmattn::seg/upernet_van_b0_ade20k.py --smoke --device cpu',
            'smoke run passed; its log and checkpoints are in work_dirs/',
        ),
    ],
)
def test_more_commands_work_without_a_clone(run, words, said):
    assert said in run('mmattn', *words.split())
