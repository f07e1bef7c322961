import os
from pathlib import Path

import pytest

from mmattn.prediction.inputs import find_inputs


@pytest.fixture
def here(tmp_path, monkeypatch):
    for name in ('b.jpg', 'a.PNG', 'film.mp4', 'notes.txt', 'in/a.jpg', 'in/[1].jpg', 'empty/x'):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)


def found(*given):
    inputs, failures = find_inputs(given)
    assert not failures
    return [(str(each.path), each.name, each.is_video) for each in inputs]


def test_takes_images_and_videos_of_a_folder_but_not_of_its_subfolders(here):
    assert found('.') == [
        ('a.PNG', 'a', False),
        ('b.jpg', 'b', False),
        ('film.mp4', 'film', True),
    ]


def test_takes_files_of_a_pattern(here):
    expected = [('b.jpg', 'b', False), ('in/[1].jpg', '[1]', False), ('in/a.jpg', 'a', False)]
    assert found('**/*.jpg') == expected
    assert [name for name, *_ in found('*')] == ['a.PNG', 'b.jpg', 'film.mp4']
    assert [name for name, *_ in found('no*')] == ['notes.txt']


def test_a_file_is_no_pattern(here):
    assert found('in/[1].jpg') == [('in/[1].jpg', '[1]', False)]


def test_takes_a_file_whatever_it_is_called_and_once(here):
    os.symlink('b.jpg', 'link.jpg')
    assert found('notes.txt', 'b.jpg', 'link.jpg', Path('b.jpg').absolute().as_posix()) == [
        ('notes.txt', 'notes', False),
        ('b.jpg', 'b', False),
    ]


def test_no_two_results_have_one_name(tmp_path):
    names = ['a/x.jpg', 'b/x.jpg', 'c/X.png', 'c/x_2.jpg', 'c/7.jpg', 'c/007.jpg']
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    inputs, _ = find_inputs([str(tmp_path / name) for name in names])
    # x_2 is a file of its own, and 7 and 007 are one number.
    assert [each.name for each in inputs] == ['x', 'x_3', 'X_4', 'x_2', '7', '007_2']


def test_says_what_is_not_there_and_gives_the_rest(here):
    inputs, failures = find_inputs(['none.jpg', 'b.jpg', 'x*', 'empty'])
    assert [each.name for each in inputs] == ['b']
    assert [each.path for each in failures] == ['none.jpg', 'x*', 'empty']
    assert [each.reason for each in failures] == [
        'none.jpg is not a file, a folder or a pattern; check the path',
        'the pattern x* matches no file; check it',
        'folder empty has no image and no video; to look into its subfolders, too: '
        "'empty/**/*.jpg', in quotes",
    ]
