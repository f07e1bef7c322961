"""numpy and opencv, broken in one way at a time."""

import pytest

from tests.doctor.site import PIP


@pytest.mark.parametrize('version', ['2.0.0', '2.4.6'])
def test_numpy_2_with_a_torch_for_numpy_1(stock, version):
    stock.remove('numpy')
    stock.add_numpy(version)
    row = stock.rows()['numpy']
    assert row.state == 'broken' and 'torch 2.1.2+cu121 is built for numpy 1' in row.remark
    assert row.remedy == f"{PIP} install 'numpy<2' 'opencv-python<4.12'"


@pytest.mark.parametrize('version', ['4.12.0.88', '5.0.0.93'])
def test_opencv_for_numpy_2_with_numpy_1(stock, version):
    stock.replace('opencv-python', version, {'cv2/__init__.py': ''})
    row = stock.rows()['opencv']
    assert row.state == 'broken'
    assert f'opencv-python {version} asks for numpy 2, and numpy is 1.26.4' in row.remark
    assert row.remedy == f"{PIP} install 'opencv-python<4.12'"


def test_numpy_1_with_a_newer_torch(healthy):
    healthy.remove('numpy')
    healthy.add_numpy('1.26.4')
    rows = healthy.rows()
    assert rows['numpy'].state == 'fine'
    assert rows['opencv'].remedy == (
        f"{PIP} install 'opencv-python<4.12' 'opencv-python-headless<4.12'"
    )


def test_two_versions_of_opencv_in_one_folder(healthy):
    healthy.replace('opencv-python', '4.9.0.80', {'cv2/__init__.py': ''})
    row = healthy.rows()['opencv']
    assert row.state == 'warning' and 'share the folder cv2' in row.remark
    assert row.remedy == (
        f'{PIP} install --force-reinstall --no-deps opencv-python==4.12.0.88 '
        'opencv-python-headless==4.12.0.88'
    )


def test_opencv_wants_a_screen(stock):
    stock.write({'cv2/__init__.py': 'raise ImportError("libGL.so.1: cannot open shared object")'})
    row = stock.rows()['opencv']
    assert row.state == 'broken' and 'ImportError: libGL.so.1' in row.remark
    assert row.remedy == (
        f'{PIP} install --force-reinstall --no-deps opencv-python-headless==4.11.0.86'
    )


def test_without_numpy_and_opencv(stock):
    stock.remove('opencv-python')
    assert stock.rows()['opencv'].remedy == f"{PIP} install 'opencv-python-headless<4.12'"
    stock.remove('numpy')
    assert stock.rows()['numpy'].remedy == f"{PIP} install 'numpy<2'"


def test_numpy_that_cannot_be_imported(healthy):
    healthy.write({'numpy/__init__.py': 'raise ImportError("no _multiarray_umath")'})
    row = healthy.rows()['numpy']
    assert (row.state, row.remark) == (
        'broken',
        'it cannot be imported: ImportError: no _multiarray_umath',
    )
    assert row.remedy == f'{PIP} install --force-reinstall --no-deps numpy==2.2.6'
