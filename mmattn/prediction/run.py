"""All that is asked for, predicted and written, whatever of it fails."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from mmattn.datasets.names import visible
from mmattn.errors import InputError
from mmattn.prediction.inputs import Failure, Input
from mmattn.prediction.model import Predictor
from mmattn.prediction.result import Result
from mmattn.prediction.videos import Video, VideoFile
from mmattn.prediction.writing import (
    COCO_RESULTS,
    DRAWN,
    MASKS,
    PREDICTIONS,
    SUMMARY,
    Folder,
    Format,
)


class Run:
    """Predictions of a model on many inputs.

    Args:
        model: The model.
        folder: Where the results go.
        batch_size: How many images the model sees at once, at most.
        classes: Names of the classes to keep; None for all.
        score_threshold: Least score of what is drawn and described; None for any.
    """

    def __init__(
        self,
        model: Predictor,
        folder: Folder,
        *,
        batch_size: int = 1,
        classes: Sequence[str] | None = None,
        score_threshold: float | None = None,
    ) -> None:
        self.model = model
        self.folder = folder
        self.batch_size = batch_size
        self.classes = classes
        self.score_threshold = score_threshold
        self.format = Format(model)
        self.asked = 0
        self.done: list[dict[str, Any]] = []
        self.failures: list[Failure] = []
        self._coco_results: list[dict[str, Any]] = []

    def predict(self, inputs: Sequence[Input]) -> None:
        """Predict, and write what comes of it.

        Args:
            inputs: Images and videos. What is wrong with one of them is noted among ``failures``,
                and the others are done.
        """
        self.asked = len(inputs)
        self.folder.make(DRAWN, PREDICTIONS, *[MASKS] * self.format.has_masks)
        inputs = [each for each in inputs if not self._is_result(each)]
        images = [each for each in inputs if not each.is_video]
        # Each is opened again in its turn: there may be more than a process can have open.
        videos = {
            each: video.count for each in inputs if each.is_video and (video := self._open(each))
        }
        columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn())
        with Progress(
            *columns,
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        ) as progress:
            total = len(images) + sum(videos.values())
            task = progress.add_task('predicting', total=total)

            def advance(count: int = 1) -> None:
                progress.advance(task, count)

            for batch in _batches(iter(images), self.batch_size):
                self._predict_images(batch)
                advance(len(batch))
            for each in videos:
                with self._noting(each.path):
                    self._predict_video(each, Video(each.path), advance)

    def summarize(self, config: str, checkpoint: str | None, missing: Sequence[Failure]) -> str:
        """Write what belongs to all inputs: the results for COCO's tools, and the summary.

        Args:
            config: The config, or the file that was exported, as it was named.
            checkpoint: The checkpoint, as it was named; None beside such a file.
            missing: What was asked for and is not there; the rest of ``failures`` from here on.

        Returns:
            How many of all are done. A file that cannot be written is noted among ``failures``.
        """
        self.failures = [*missing, *self.failures]
        failed = [dict(input=each.path, reason=each.reason) for each in self.failures]
        summary = dict(
            config=config,
            checkpoint=checkpoint,
            task=self.model.task,
            score_threshold=self.score_threshold,
            only_classes=None if self.classes is None else list(self.classes),
            classes=self.format.describe_classes(),
            inputs=self.done,
            failed=failed,
        )
        files: dict[str, Any] = {SUMMARY: summary}
        if self.format.has_coco_results:
            is_panoptic = self.model.task == 'panoptic'
            results = self._coco_results
            files[COCO_RESULTS] = dict(annotations=results) if is_panoptic else results
        for name, content in files.items():
            with self._noting(self.folder.path / name):
                self.folder.write_json(name, content)
        return f'{len(self.done)} of {self.asked + len(missing)} done: {self.folder.path}'

    def _is_result(self, each: Input) -> bool:
        """Refuse an input that its own result would replace."""
        inside = self.folder.holds(each.path)
        if inside:
            reason = f'{visible(each.path)} lies where the results go; give another --out'
            self.failures.append(Failure(str(each.path), reason))
        return inside

    def _open(self, each: Input) -> Video | None:
        with self._noting(each.path):
            return Video(each.path)
        return None

    @contextlib.contextmanager
    def _noting(self, path: Path) -> Iterator[None]:
        """Note why a file fails, and go on with the others."""
        try:
            yield
        except InputError as error:
            reason = str(error) if visible(path) in str(error) else f'{visible(path)}: {error}'
            self.failures.append(Failure(str(path), reason))

    def _predict_images(self, batch: Sequence[Input]) -> None:
        pictures: list[tuple[Input, np.ndarray]] = []
        for each in batch:
            with self._noting(each.path):
                pictures.append((each, self.model.read(each.path)))
        try:
            results = self.model.predict_batch([picture for _, picture in pictures])
        except InputError:
            # One of them, or all at once, are too much: the others are not to suffer.
            for each, picture in pictures:
                with self._noting(each.path):
                    self._write_image(each, self.model.predict(picture))
            return
        for (each, _), result in zip(pictures, results, strict=True):
            with self._noting(each.path):
                self._write_image(each, result)

    def _write_image(self, each: Input, result: Result) -> None:
        name, kept = each.name, self._kept(result)
        written = dict(input=str(each.path))
        if self.format.has_masks:
            written['mask'] = self.folder.write_png(f'{MASKS}/{name}.png', self.format.mask(kept))
        described = dict(written, task=kept.task, **self.format.describe(kept))
        written['prediction'] = self.folder.write_json(f'{PREDICTIONS}/{name}.json', described)
        written['drawn'] = self.folder.write_png(f'{DRAWN}/{name}.png', kept.draw())
        if self.format.has_coco_results:
            # Also what is not sure: the precision that COCO's tools compute asks for it.
            everything = kept if kept.task == 'panoptic' else result.only(self.classes)
            self._coco_results += self.format.coco_results(everything, name)
        self.done.append(written)

    def _predict_video(self, each: Input, video: Video, advance: Callable[[], None]) -> None:
        """Write what is on the frames of a video: all of it or nothing."""
        drawn = f'{DRAWN}/{each.name}.mp4'
        described: list[dict[str, Any]] = []
        with (
            _StagedMasks(self.folder, each.name, self.format.has_masks) as masks,
            VideoFile(self.folder.path / drawn, video.rate) as file,
        ):
            for frames in _batches(video.frames(), self.batch_size):
                for result in self.model.predict_batch(frames):
                    kept = self._kept(result)
                    masks.add(kept, self.format)
                    described.append(dict(frame=len(described), **self.format.describe(kept)))
                    file.add(kept.draw())
                    advance()
        written = dict(input=str(each.path), **masks.entry)
        content = dict(written, task=self.model.task, frames_per_second=video.rate)
        name = f'{PREDICTIONS}/{each.name}.json'
        written['prediction'] = self.folder.write_json(name, dict(content, frames=described))
        self.done.append(dict(written, drawn=drawn))

    def _kept(self, result: Result) -> Result:
        return result.only(self.classes, self.score_threshold)


class _StagedMasks:
    """The maps of the frames of a video, in a folder that has its name when all are there.

    Args:
        folder: Folder of results.
        name: Name of the video.
        wanted: Whether there are any.
    """

    def __init__(self, folder: Folder, name: str, wanted: bool) -> None:
        self.folder = folder
        self.name = f'{MASKS}/{name}'
        self.wanted = wanted
        self.count = 0

    @property
    def entry(self) -> dict[str, str]:
        """Where they are."""
        return dict(masks=self.name) if self.wanted else {}

    def __enter__(self) -> '_StagedMasks':
        if self.wanted:
            path = self.folder.path / self.name
            self._stage = Path(tempfile.mkdtemp('.partial', f'{path.name}.', path.parent))
        return self

    def add(self, result: Result, layout: Format) -> None:
        """Write the map of a frame."""
        if self.wanted:
            name = f'{MASKS}/{self._stage.name}/{self.count:06}.png'
            self.folder.write_png(name, layout.mask(result))
            self.count += 1

    def __exit__(self, kind: type[BaseException] | None, *others: Any) -> None:
        if not self.wanted:
            return
        path = self.folder.path / self.name
        if kind is None:
            # mkdtemp lets nobody else look into it.
            self._stage.chmod(path.parent.stat().st_mode & 0o777)
            shutil.rmtree(path, ignore_errors=True)
            os.replace(self._stage, path)
        shutil.rmtree(self._stage, ignore_errors=True)


def _batches(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while batch := list(islice(items, size)):
        yield batch
