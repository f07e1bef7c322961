import cv2
import numpy as np
import pytest

from mmattn.errors import InputError
from mmattn.prediction.videos import Video, VideoFile

SIZE = (64, 48)


@pytest.fixture
def film(tmp_path):
    """A video of 30 frames of noise, each of which can be decoded alone."""
    path = tmp_path / 'film.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 12, SIZE)
    noise = np.random.default_rng(0)
    for _ in range(30):
        writer.write(noise.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    writer.release()
    return path


def test_writes_what_is_read_again(tmp_path):
    path = tmp_path / 'out.mp4'
    with VideoFile(path, 7) as file:
        for i in range(5):
            frame = np.zeros((48, 64, 3), np.uint8)
            frame[..., 0] = 50 * i  # Red.
            file.add(frame)
        assert not path.exists()
    video = Video(path)
    assert (video.count, video.rate) == (5, 7)
    for i, frame in enumerate(video.frames()):
        assert frame.shape == (48, 64, 3)
        np.testing.assert_allclose(frame.mean((0, 1)), [50 * i, 0, 0], atol=6)
    assert [each.name for each in tmp_path.iterdir()] == ['out.mp4']


def test_what_is_not_complete_is_removed_and_what_was_there_stays(tmp_path):
    path = tmp_path / 'out.mp4'
    path.write_text('of an earlier run')

    def write():
        with VideoFile(path, 7) as file:
            file.add(np.zeros((48, 64, 3), np.uint8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert [each.name for each in tmp_path.iterdir()] == ['out.mp4']
    assert path.read_text() == 'of an earlier run'


class FullDisk:
    """What OpenCV does where nothing can be written: nothing, and it does not say so."""

    fourcc = staticmethod(cv2.VideoWriter.fourcc)

    def __init__(self, path, *others):
        self.write = self.release = lambda *args: None


def test_notices_what_opencv_has_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, 'VideoWriter', FullDisk)
    file = VideoFile(tmp_path / 'out.mp4', 7).__enter__()
    file.add(np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(InputError, match=r'out.mp4 cannot be written \(.*only 0 of 1 frames\)'):
        file.__exit__(None, None, None)
    assert not any(tmp_path.iterdir())


def test_refuses_what_is_no_video(tmp_path):
    (tmp_path / 'text.mp4').write_text('no video')
    (tmp_path / 'empty.mp4').touch()
    for name in ('text', 'empty'):
        with pytest.raises(InputError, match=f'video .*{name}.mp4 cannot be read'):
            Video(tmp_path / f'{name}.mp4')
    with pytest.raises(InputError, match=r'none.mp4 is not a file; check the path'):
        Video(tmp_path / 'none.mp4')


def test_refuses_a_video_without_frames(tmp_path):
    path = tmp_path / 'empty.avi'
    cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 12, SIZE).release()
    with pytest.raises(InputError, match='empty.avi has no frame that can be read'):
        list(Video(path).frames())


def test_gives_the_frames_before_a_video_breaks_off(film):
    content = film.read_bytes()
    film.write_bytes(content[: len(content) // 2])
    frames = Video(film).frames()
    assert len([next(frames) for _ in range(14)]) == 14
    with pytest.raises(InputError, match=r'film.avi breaks off at frame 14 of 30; copy it again'):
        next(frames)
