"""The page: an image in; prediction, gates and class activation map side by side out."""

import html
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmattn.datasets.headers import open_image
from mmattn.datasets.names import visible
from mmattn.errors import InputError
from mmattn.inspection.cam import METHODS, Method, class_activation_map
from mmattn.inspection.cam_picture import draw_activation_maps
from mmattn.inspection.gates import look
from mmattn.inspection.pictures import pages
from mmattn.inspection.sites import attention_sites
from mmattn.layers.packages import import_optional
from mmattn.prediction.model import Model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Of an upload: bytes of the file, and the pixels that its header announces.
MOST_BYTES = 32 * 2**20
MOST_PIXELS = 50_000_000
# Seconds after which an upload is deleted.
_KEPT = 3600
_FONTS = ('system-ui', 'sans-serif')


def make_page(title: str, checkpoints: Iterable[str], load: Callable[[str], Model]) -> Any:
    """Make the page.

    Args:
        title: What stands over it.
        checkpoints: Names of the checkpoints to choose from.
        load: Gives the model of one of them.

    Returns:
        A :class:`gradio.Blocks`, which :func:`mmattn.app.server.serve` shows.

    Raises:
        MissingPackage: If gradio is not installed.
    """
    gradio: Any = import_optional('gradio', 'mmattn app')
    names = list(checkpoints)
    looks: tuple[Callable, ...] = (_draw_map, _draw_gates)

    def show(upload: str | None, checkpoint: str, method: Method) -> tuple:
        """Look at an upload; the browser shows an error as it is."""
        if upload is None:
            raise gradio.Error('drop an image first', print_exception=False)
        try:
            if checkpoint not in names:
                raise InputError(f'there is no checkpoint {checkpoint}; choose one of the list')
            check_upload(Path(upload))
            model = load(checkpoint)
            image = model.read(upload)
            prediction = model.predict(image).draw()
        except (InputError, RuntimeError) as error:
            text = html.escape(_first_line(error).replace(upload, Path(upload).name))
            raise gradio.Error(text, print_exception=False) from error
        drawn: list[Any] = [prediction]
        for draw in looks:
            # A model without attention predicts all the same.
            try:
                drawn.append(draw(model, image, Path(upload).name, method))
            except (InputError, RuntimeError) as error:
                gradio.Warning(html.escape(_first_line(error)))
                drawn.append(None)
        return tuple(drawn)

    # Without a word to anybody else on the network.
    with gradio.Blocks(
        title=title, analytics_enabled=False, fill_width=True, delete_cache=(_KEPT, _KEPT)
    ) as page:
        gradio.Markdown(f'# {html.escape(title)}')
        with gradio.Row():
            upload = gradio.File(label='Image', type='filepath', height=150, elem_id='upload')
            checkpoint = gradio.Dropdown(names, value=names[0], label='Checkpoint')
            with gradio.Column():
                words = [(word, key) for key, word in METHODS.items()]
                method = gradio.Radio(words, value=words[0][1], label='Class activation map')
                button = gradio.Button('Look', variant='primary', elem_id='look')
        # Not among their buttons: the one that would send the picture to another machine.
        kept = dict(show_label=False, interactive=False, format='png')
        kept['buttons'] = ['download', 'fullscreen']
        with gradio.Row():
            with gradio.Column():
                gradio.Markdown('### Prediction')
                prediction = gradio.Image(elem_id='prediction', **kept)
            with gradio.Column():
                gradio.Markdown('### Class activation map')
                activation = gradio.Image(elem_id='activation', **kept)
        gradio.Markdown('### Gates')
        gates = gradio.Image(elem_id='gates', **kept)
        gradio.on(
            [button.click, upload.upload],
            show,
            [upload, checkpoint, method],
            [prediction, activation, gates],
            api_visibility='private',
            # One after the other: a model takes all the memory that it gets.
            concurrency_limit=1,
        )
    return page


def theme() -> Any:
    """Give the looks of the page, whose fonts are those of the machine."""
    gradio: Any = import_optional('gradio', 'mmattn app')
    return gradio.themes.Default(font=list(_FONTS), font_mono=['ui-monospace', 'monospace'])


def check_upload(path: Path) -> None:
    """Look at what an upload says of itself, before its pixels take memory.

    Args:
        path: The file, whose name and content may be anything.

    Raises:
        InputError: If it is no image, or one of more than :data:`MOST_PIXELS`.
    """
    name = visible(path.name)
    remedy = f'give a JPEG or a PNG of at most {MOST_PIXELS // 10**6} million pixels'
    try:
        with open_image(path) as image:
            width, height = image.size
    except (OSError, SyntaxError) as error:
        raise InputError(f'{name} is no image that can be read; {remedy}') from error
    except ValueError as error:
        reason = re.split('[,;]', str(error))[0]
        raise InputError(f'{name} is not read: {reason}; {remedy}') from error
    if width * height > MOST_PIXELS:
        raise InputError(f'{name} is not read: {width}x{height} pixels are too many; {remedy}')


def _draw_map(model: Model, image: np.ndarray, name: str, method: Method) -> np.ndarray:
    found = class_activation_map(model, image, method=method)
    return _as_pixels(draw_activation_maps([found], [visible(name)]))


def _draw_gates(model: Model, image: np.ndarray, name: str, method: Method) -> np.ndarray:
    """Draw all pages, one below the other."""
    sites = attention_sites(model.module)
    drawn = [_as_pixels(page) for page in pages(look(model, image, sites), visible(name))]
    width = max(page.shape[1] for page in drawn)
    white = [((0, 0), (0, width - page.shape[1]), (0, 0)) for page in drawn]
    padded = [np.pad(*each, constant_values=255) for each in zip(drawn, white, strict=True)]
    return np.concatenate(padded)


def _as_pixels(figure: 'Figure') -> np.ndarray:
    """Draw a figure as (H, W, 3), uint8, RGB."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition('\n')[0]
