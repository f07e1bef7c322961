import numpy as np

from mmattn.prediction.legend import Row, add_legend

PICTURE = np.full((61, 35, 3), 7, np.uint8)
ROWS = [Row('grass, lawn', '61.0', (0, 200, 0)), Row('a name that is far too long', '3', None)]


def test_stands_beside_the_picture():
    drawn = add_legend(PICTURE, 'pixels', ROWS)
    assert np.array_equal(drawn[:61, :35], PICTURE)
    beside = drawn[:, 35:]
    # A square of the colour, and dark letters on white.
    assert (beside == [0, 200, 0]).all(2).sum() > 60
    assert (beside < 60).all(2).any() and (beside == 255).all(2).any()


def test_size_depends_on_the_picture_alone():
    many = [Row(str(i), str(i), (i, 0, 0)) for i in range(200)]
    sizes = {add_legend(PICTURE, 'pixels', rows).shape for rows in ([], ROWS, many)}
    [(height, width, channels)] = sizes
    assert height % 2 == width % 2 == 0 and channels == 3 and height > 61


def test_nothing_runs_out_of_it():
    for picture in (PICTURE, np.zeros((900, 20, 3), np.uint8)):
        for rows in (ROWS, [Row('word ' * 20, '100.0', (9, 9, 9))] * 99):
            drawn = add_legend(picture, '% of the pixels', rows)
            width = picture.shape[1]
            edge = np.concatenate([drawn[:, -3:], drawn[:, width : width + 3]], 1)
            assert (edge == 255).all()
            assert (drawn[-2:, width:] == 255).all()


def test_counts_what_finds_no_room():
    fits = [Row('x', '', (250, 0, 0))] * 7
    assert _squares(add_legend(PICTURE, '', fits)) == 7
    # The last row says how many more there are.
    assert _squares(add_legend(PICTURE, '', fits * 2)) == 6


def _squares(drawn):
    """Count the runs of red down the middle of the column of squares."""
    [*_, column] = np.flatnonzero((drawn == [250, 0, 0]).all(2).any(0))
    red = (drawn[:, column] == [250, 0, 0]).all(1).astype(int)
    return (np.diff(red, prepend=0) == 1).sum()
