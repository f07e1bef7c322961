"""What Linux tells of a CPU."""

import pytest

from mmattn.probe.machine import cpu_facts, has_bfloat16


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / 'cpuinfo'
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    ('line', 'found'),
    [
        ('flags\t\t: fpu avx2 avx512_bf16', True),
        ('flags\t\t: fpu amx_bf16', True),
        ('Features\t: fp asimd bf16', True),
        ('flags\t\t: fpu avx2 avx512f', False),
        ('bugs: bf16', False),
    ],
)
def test_bfloat16(write, line, found):
    assert has_bfloat16(write(f'processor : 0\n{line}\n\nflags : amx_bf16\n')) is found


def test_the_first_core(write):
    text = 'model name\t: Some CPU @ 2:1\n\nmodel name\t: Another\n'
    assert cpu_facts(write(text)) == {'model name': 'Some CPU @ 2:1'}


def test_another_system(tmp_path):
    assert cpu_facts(tmp_path / 'none') == {}
    assert not has_bfloat16(tmp_path / 'none')
