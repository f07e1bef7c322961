"""Videos, read and written whole or not at all."""

import errno
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import cv2
import mmcv
import numpy as np

from mmattn.datasets.names import visible
from mmattn.errors import InputError
from mmattn.files.whole_file import write_whole

# Where a file does not say how many frames a second has.
_RATE = 25.0
# The part of the frames that a file may have less than it says: some formats only estimate it.
_TOLERANCE = 0.01


class Video:
    """A video to be read.

    Args:
        path: The file.

    Raises:
        InputError: If there is none that OpenCV can read, or it has no frame.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise InputError(f'video {visible(path)} is not a file; check the path')
        self._reader = mmcv.VideoReader(str(path), cache_capacity=1)
        if not self._reader.opened:
            raise InputError(
                f'video {visible(path)} cannot be read (OpenCV does not know it, or it is damaged)'
                '; copy it again, or convert it to .mp4'
            )
        rate = float(self._reader.fps)
        self.rate = rate if math.isfinite(rate) and rate > 0 else _RATE
        self.count = max(int(self._reader.frame_cnt), 0)
        """How many frames it says that it has; some formats say 0, or only nearly."""

    def frames(self) -> Iterator[np.ndarray]:
        """Give the frames (H, W, 3), uint8, RGB.

        Raises:
            InputError: At the end, if there was none, or there were fewer than it says.
        """
        read = 0
        while True:
            frame = self._reader.read()
            if frame is None:
                break
            read += 1
            yield mmcv.bgr2rgb(frame)
        if not read:
            raise InputError(f'video {visible(self.path)} has no frame that can be read')
        if self.count - read > max(1, _TOLERANCE * self.count):
            raise InputError(
                f'video {visible(self.path)} breaks off at frame {read} of {self.count}; copy it '
                'again, or cut it there'
            )


class VideoFile:
    """A video to be written as ``.mp4``, which has its name only when it is complete.

    It is a context, within which frames are added. If that ends in an exception there is no video.

    Args:
        path: The file.
        rate: Frames per second.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self.path = path
        self.rate = rate
        self.count = 0
        self._writer: cv2.VideoWriter | None = None

    def __enter__(self) -> 'VideoFile':
        """Make a folder for what is not complete."""
        try:
            self._folder = Path(
                tempfile.mkdtemp('.partial', f'{self.path.name}.', self.path.parent)
            )
        except OSError as error:
            raise InputError(
                f'{self.path} cannot be written ({error.strerror}); look at {self.path.parent} and '
                'the rights there'
            ) from error
        self._part = self._folder / 'video.mp4'
        return self

    def add(self, frame: np.ndarray) -> None:
        """Add a frame (H, W, 3), uint8, RGB; all have one size."""
        if self._writer is None:
            height, width = frame.shape[:2]
            code = cv2.VideoWriter.fourcc(*'mp4v')
            self._writer = cv2.VideoWriter(str(self._part), code, self.rate, (width, height))
        self._writer.write(mmcv.rgb2bgr(frame))
        self.count += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the video its name if all of it was written, and remove it otherwise."""
        try:
            if self._writer is not None:
                self._writer.release()
            if kind is None:
                self._check()
                write_whole(self.path, self._part.replace, remedy='repeat the command')
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _check(self) -> None:
        """Look whether all is on the disk: OpenCV says nothing of a full one.

        Raises:
            InputError: If not.
        """
        capture = cv2.VideoCapture(str(self._part))
        written = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
        capture.release()
        if written != self.count:
            free = shutil.disk_usage(self.path.parent).free
            reason = os.strerror(errno.ENOSPC) if free < 1 << 20 else 'OpenCV has written only '
            reason += '' if free < 1 << 20 else f'{written} of {self.count} frames'
            raise InputError(
                f'{self.path} cannot be written ({reason}); make room, and repeat the command'
            )
