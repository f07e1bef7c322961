"""The page, in a real browser and without one."""

import io
import shutil
import socket
import struct
import zlib

import numpy as np
import pytest
from mmengine.runner import save_checkpoint
from PIL import Image
from torch import nn

from mmattn import SE
from mmattn.cli import app
from mmattn.cli.main import start
from mmattn.engine import terminal
from mmattn.errors import InputError
from tests.inspection.colours import SCENE, save, segmentor

pytest.importorskip('gradio', reason='gradio is not installed')
pytest.importorskip('pytorch_grad_cam', reason='grad-cam is not installed')

from mmattn.app import page as pages
from mmattn.app.server import served

HOST = '127.0.0.1'
CHROMIUM = shutil.which('chromium') or shutil.which('google-chrome')


def attending():
    """A segmentor with an SE layer behind its colours."""
    model = segmentor()
    se = SE(2, reduction=1)
    for parameter in se.parameters():
        nn.init.constant_(parameter, 0.1)
    model.module.backbone.blocks[0] = nn.Sequential(nn.ReLU(), se)
    model.module.eval()
    return model


def png_of(width, height):
    """Write the header of an image, and of its pixels nothing."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack('>I', len(content)) + body + struct.pack('>I', zlib.crc32(body))

    header = chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0))
    return b'\x89PNG\r\n\x1a\n' + header + chunk(b'IDAT', zlib.compress(b'')) + chunk(b'IEND', b'')


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind((HOST, 0))
        return free.getsockname()[1]


@pytest.fixture
def browser():
    playwright = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
    if CHROMIUM is None:
        pytest.skip('there is no Chromium')
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        yield chromium
        chromium.close()


@pytest.fixture
def files(tmp_path):
    Image.fromarray(SCENE).save(tmp_path / 'scene.png')
    (tmp_path / 'note.png').write_text('<img src=x onerror="document.title=1">')
    (tmp_path / 'vast.png').write_bytes(png_of(25_000, 20_000))
    return tmp_path


def shown(tab, name):
    """Wait for a picture and give its pixels."""
    image = tab.wait_for_selector(f'#{name} img', timeout=60_000)
    content = tab.request.get(image.evaluate('each => each.src')).body()
    return np.asarray(Image.open(io.BytesIO(content)).convert('RGB'))


def upload(tab, path):
    tab.set_input_files('#upload input[type=file]', path)


def test_an_image_is_dropped_and_three_pictures_are_seen(browser, port, files):
    models = {'plain.pth': segmentor(), 'attending.pth': attending()}
    page = pages.make_page('two models', ['attending.pth', 'plain.pth'], models.__getitem__)
    with served(page, HOST, port) as address:
        tab = browser.new_page()
        asked = []
        tab.on('request', lambda request: asked.append(request.url))
        tab.goto(address)
        assert tab.wait_for_selector('h1').inner_text() == 'two models'

        upload(tab, files / 'scene.png')
        expected = models['attending.pth'].predict(SCENE).draw()
        assert np.array_equal(shown(tab, 'prediction'), expected)
        assert len(np.unique(shown(tab, 'activation').reshape(-1, 3), axis=0)) > 50
        assert len(np.unique(shown(tab, 'gates').reshape(-1, 3), axis=0)) > 50

        # Nothing of it leaves the machine, not even for a font.
        assert {url.split('/')[2] for url in asked if url.startswith('http')} == {f'{HOST}:{port}'}

        for name, reason in (
            ('note.png', 'note.png is no image that can be read; give a JPEG or a PNG'),
            ('vast.png', 'vast.png is not read: Image size (500000000 pixels) exceeds limit'),
        ):
            tab.goto(address)
            tab.wait_for_selector('#look')
            upload(tab, files / name)
            toast = tab.wait_for_selector('.toast-body', timeout=60_000)
            assert reason in toast.inner_text()
            assert tab.query_selector('#prediction img') is None
        assert tab.title() == 'two models'

        # Without attention there is one picture less, and the reason.
        tab.goto(address)
        tab.get_by_label('Checkpoint').click()
        tab.get_by_role('option', name='plain.pth').click()
        upload(tab, files / 'scene.png')
        assert np.array_equal(shown(tab, 'prediction'), models['plain.pth'].predict(SCENE).draw())
        assert 'no attention' in tab.wait_for_selector('.toast-body').inner_text()
        assert tab.query_selector('#gates img') is None


def test_uploads_are_looked_at_before_they_are_decoded(files):
    pages.check_upload(files / 'scene.png')
    (files / 'large.png').write_bytes(png_of(8_000, 7_000))
    (files / 'bomb.png').write_bytes(png_of(60_000, 60_000))
    for name, reason in (
        ('large.png', 'is not read: 8000x7000 pixels are too many'),
        ('vast.png', 'is not read: Image size (500000000 pixels) exceeds limit'),
        ('bomb.png', 'is not read: Image size (3600000000 pixels) exceeds limit'),
        ('note.png', 'is no image that can be read'),
        ('none.png', 'is no image that can be read'),
    ):
        with pytest.raises(InputError) as caught:
            pages.check_upload(files / name)
        text = str(caught.value)
        assert text.startswith(f'{name} {reason}')
        assert text.endswith('; give a JPEG or a PNG of at most 50 million pixels')


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(terminal, 'use', lambda verbose: None)
    config, checkpoint = save(segmentor(), tmp_path, 'segmentor')

    def run(*words):
        words = [word.format(config=config, checkpoint=checkpoint) for word in words]
        with pytest.raises(SystemExit) as caught:
            start(app, [*words, '--device', 'cpu'])
        return caught.value.code, capsys.readouterr().err.splitlines()[-1]

    return run


def test_a_taken_port_is_one_line(call, port):
    with socket.socket() as taken:
        taken.bind((HOST, port))
        taken.listen()
        line = call('{config}', '{checkpoint}', '--port', str(port))
    reason = f'{HOST}:{port} cannot be listened on (Address already in use)'
    assert line == (1, f'error: {reason}; give another --port or --host')


def test_what_cannot_be_used_is_one_line(call, tmp_path):
    other = tmp_path / 'other.pth'
    save_checkpoint({'state_dict': nn.Conv2d(1, 1, 1).state_dict()}, str(other))
    for words, status, reason in (
        (('{config}', '{checkpoint}', '{checkpoint}'), 1, 'a checkpoint is given twice'),
        (('{config}', 'none.pth'), 1, 'none.pth'),
        (('none.py', '{checkpoint}'), 1, 'config none.py is not a file; check the path'),
        (('{config}', str(other)), 1, 'other.pth'),
        (('{config}', '{checkpoint}', '--port', '70000'), 2, "from 1 to 65535, got '70000'"),
        (('{config}', '{checkpoint}', '--host', '203.0.113.1'), 1, 'give another --port or --host'),
    ):
        code, line = call(*words)
        assert code == status and reason in line, line
