"""A folder of stub packages: what pip records of them, and a few lines to import."""

import shutil
import sys
from pathlib import Path

from mmattn.doctor.report import examine

PIP = f'{sys.executable} -m pip'
BUILD = f"{PIP} install 'setuptools>=80,<82' wheel ninja packaging"
ASKS_FOR_NUMPY_2 = 'numpy>=2; python_version >= "3.9"'
BOUNDS = """
mmcv_minimum_version = '2.0.0rc4'
mmcv_maximum_version = '2.2.0'
mmengine_minimum_version = '0.7.1'
mmengine_maximum_version = '1.0.0'
"""
BOUNDS_OF_MMSEG = """
MMCV_MIN = '2.0.0rc4'
MMCV_MAX = '2.2.0'
MMENGINE_MIN = '0.5.0'
MMENGINE_MAX = '1.0.0'
"""


class Site:
    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.bin = folder.parent / 'bin'
        self.bin.mkdir()
        folder.mkdir()
        inside = [p for p in sys.path if p.startswith(sys.base_prefix) and 'site-packages' not in p]
        monkeypatch.setattr(sys, 'path', [str(folder), *inside])
        monkeypatch.setenv('PATH', str(self.bin))
        for name in ('CUDA_VISIBLE_DEVICES', 'OMP_NUM_THREADS'):
            monkeypatch.delenv(name, raising=False)

    def write(self, files):
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def add(self, name, version, files=(), requires=()):
        """Install a distribution of some files, and remember them as pip does."""
        files = dict(files)
        self.write(files)
        info = self.folder / f'{name.replace("-", "_")}-{version}.dist-info'
        info.mkdir()
        lines = ['Metadata-Version: 2.1', f'Name: {name}', f'Version: {version}']
        lines += [f'Requires-Dist: {each}' for each in requires]
        (info / 'METADATA').write_text('\n'.join(lines) + '\n')
        (info / 'RECORD').write_text(''.join(f'{file},,\n' for file in [*files, info.name]))

    def remove(self, name):
        """Uninstall a distribution as pip does: with the files that it has recorded."""
        [info] = self.folder.glob(f'{name.replace("-", "_")}-[0-9]*.dist-info')
        for line in (info / 'RECORD').read_text().splitlines():
            path = self.folder / line.partition(',')[0]
            if path.is_file():
                path.unlink()
                if not list(path.parent.iterdir()):
                    path.parent.rmdir()
        shutil.rmtree(info)

    def replace(self, name, *args, **kwargs):
        self.remove(name)
        self.add(name, *args, **kwargs)

    def add_torch(self, version, build, cuda, torchvision, requires=()):
        text = f"__version__ = '{version}{build}'\ncuda: str = {cuda!r}\n"
        files = {'torch/__init__.py': '', 'torch/version.py': text}
        self.add('torch', version, files, requires)
        self.add_torchvision(torchvision, build, version)

    def add_torchvision(self, version, build, torch):
        self.add(
            'torchvision',
            version,
            {
                'torchvision/__init__.py': '',
                'torchvision/ops.py': 'nms = None\n',
                'torchvision/version.py': f"__version__ = '{version}{build}'\n",
            },
            [f'torch (=={torch})'],
        )

    def add_numpy(self, version):
        text = f"__version__ = '{version}'\n"
        self.add('numpy', version, {'numpy/__init__.py': '', 'numpy/version.py': text})

    def add_mmengine(self, name, version):
        files = ('mmengine/__init__.py', 'mmengine/runner/__init__.py')
        self.add(name, version, dict.fromkeys(files, ''))

    def add_mmcv(self, name, version, ops=True):
        parts = ('', 'cnn/', 'transforms/', *(['ops/'] if ops else []))
        files = {f'mmcv/{part}__init__.py': '' for part in parts}
        files['mmcv/version.py'] = f"__version__ = '{version}'\n"
        if ops:
            files['mmcv/_ext.py'] = ''
        self.add(name, version, files)

    def add_scope(self, name, version, package, text=''):
        files = {f'{package}/__init__.py': text, f'{package}/.mim/configs/x.py': ''}
        self.add(name, version, files)

    def add_rest(self):
        self.add('mmattn', '0.1.0', {'mmattn/__init__.py': ''})
        self.add('timm', '1.0', {'timm/__init__.py': ''})
        self.add('safetensors', '0.8', {'safetensors/__init__.py': ''})
        self.add('panopticapi-lite', '0.2', {'panopticapi/__init__.py': ''})
        files = ('setuptools/__init__.py', 'pkg_resources/__init__.py')
        self.add('setuptools', '80.9.0', dict.fromkeys(files, ''))

    def add_forks(self):
        nccl = 'nvidia-nccl-cu13==2.28.9; platform_system == "Linux"'
        self.add_torch('2.11.0', '+cu130', '13.0', '0.26.0', [nccl])
        self.add('nvidia-nccl-cu13', '2.28.9', {'nvidia/nccl/lib.so': ''})
        self.add_numpy('2.2.6')
        cv2 = {'cv2/__init__.py': ''}
        self.add('opencv-python', '4.12.0.88', cv2, [ASKS_FOR_NUMPY_2])
        self.add('opencv-python-headless', '4.12.0.88', cv2, [ASKS_FOR_NUMPY_2])
        self.add_mmengine('onedl-mmengine', '0.10.12')
        self.add_mmcv('onedl-mmcv', '2.3.6')
        self.add_scope('onedl-mmdetection', '3.5.1', 'mmdet')
        self.add_scope('onedl-mmsegmentation', '1.4.2', 'mmseg')
        self.add_scope('onedl-mmpretrain', '1.3.6', 'mmpretrain')
        self.add_rest()

    def add_stock(self):
        self.add_torch('2.1.2', '+cu121', '12.1', '0.16.2')
        self.add_numpy('1.26.4')
        self.add('opencv-python', '4.11.0.86', {'cv2/__init__.py': ''})
        self.add_mmengine('mmengine', '0.10.7')
        text = 'def find():\n    import pkg_resources\n'
        self.write({'mmengine/utils/package_utils.py': text})
        self.add_mmcv('mmcv', '2.1.0')
        self.add_scope('mmdet', '3.3.0', 'mmdet', BOUNDS)
        self.add_scope('mmsegmentation', '1.2.2', 'mmseg', BOUNDS_OF_MMSEG)
        self.add_scope('mmpretrain', '1.2.0', 'mmpretrain', BOUNDS.replace('2.2.0', '2.4.0'))
        self.add_rest()

    def rows(self, time_limit=20):
        return {row.name: row for row in examine(time_limit)}


def broken(rows):
    return [name for name, row in rows.items() if row.state == 'broken']


ROOT = Path(__file__).resolve().parents[2]
