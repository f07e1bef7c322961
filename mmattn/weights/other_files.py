"""What is no checkpoint, told by how it begins, before anybody reads it as one."""

import codecs
import re
import zipfile
from typing import BinaryIO

from mmattn.errors import InputError
from mmattn.weights import mxnet_files

# The number that a file of PyTorch before 1.6 begins with, as a pickle has it.
MAGIC = b'\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.'

_AGAIN = 'copy or download it again, or use an earlier one'
_UNPACK = 'unpack it and give the checkpoint that is inside'
_NO_PAGE = 'download the file itself, not the page about it'
_CONVERT = 'convert it to PyTorch first'
_CHECK = 'check the path'

# What it is, and what to do.
_Kind = tuple[str, str]
_TORCH = ('a PyTorch file under another name', 'give it the ending .pth')
_SAFETENSORS = ('a safetensors file under another name', 'give it the ending .safetensors')
_MXNET = ('an MXNet file under another name', 'give it the ending .params')
# What a name that ends so promises; any other one promises a file of PyTorch.
_PROMISES = {'.safetensors': _SAFETENSORS, '.params': _MXNET}
# By the bytes that a file begins with.
_BINARY = {
    b'\x1f\x8b': ('a gzip archive', _UNPACK),
    b'\xfd7zXZ\0': ('an xz archive', _UNPACK),
    b'(\xb5/\xfd': ('a zstd archive', _UNPACK),
    b"7z\xbc\xaf'\x1c": ('a 7z archive', _UNPACK),
    b'Rar!\x1a\x07': ('a rar archive', _UNPACK),
    b'\x89HDF\r\n\x1a\n': ('an HDF5 file', _CONVERT),
    b'\x93NUMPY': ('a NumPy array', _CONVERT),
    b'GGUF': ('a GGUF file', _CONVERT),
    b'\x89PNG': ('a picture', _CHECK),
    b'\xff\xd8\xff': ('a picture', _CHECK),
    b'%PDF': ('a PDF file', _CHECK),
    b'\x80': ('a pickle that torch.save has not written', 'save its tensors with torch.save'),
}
# By the text that a file begins with, after spaces and in lower case.
_TEXT = {
    'version https://git-lfs': ('a Git LFS pointer', 'fetch the file itself: git lfs pull'),
    r'<\?xml|<error': ('an XML file', _NO_PAGE),
    '<': ('a web page', _NO_PAGE),
    r'\{|\[\s*[\[{"\d-]': ('a JSON file', _CHECK),
    '': ('a text file', _CHECK),
}


def refuse_other_files(file: BinaryIO, name: str) -> None:
    """Refuse what is known to be no checkpoint.

    Args:
        file: The file, which can be sought in; it is left at its beginning.
        name: Its name, for the message, and for the format that it promises.

    Raises:
        InputError: If it is something else; the message says what.
    """
    file.seek(0)
    start = file.read(1024)
    size = file.seek(0, 2)
    try:
        zipped = zipfile.is_zipfile(file)
    # A damaged one may say that it goes on on another disk.
    except zipfile.BadZipFile:
        zipped = True
    kind = _kind_of_zip(file) if zipped else _kind_of(start)
    file.seek(0)
    promised = (kind for ending, kind in _PROMISES.items() if name.endswith(ending))
    if kind is not next(promised, _TORCH):
        what, advice = kind
        raise InputError(f'{name} is no checkpoint but {what} ({size} bytes); {advice}')


def _kind_of_zip(file: BinaryIO) -> _Kind:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    # Its list of records is damaged, which whoever reads them says.
    except Exception:
        return _TORCH
    if any('/code/' in name or name.endswith('/constants.pkl') for name in names):
        advice = 'save the state_dict() of what torch.jit.load gives'
        return 'a TorchScript program', advice
    if names and all(name.endswith('.npy') for name in names):
        return 'an archive of NumPy arrays', _CONVERT
    if not any(name.endswith(('/data.pkl', '/version')) for name in names):
        return 'a zip archive that torch.save has not written', _UNPACK
    return _TORCH


def _kind_of(start: bytes) -> _Kind:
    if not start:
        return 'an empty file', _AGAIN
    # Of a file that is cut off there may be less than what it begins with.
    old = b'\x80' + start[1:2] + MAGIC  # the second byte is the protocol of the pickle
    if any(start.startswith(beginning[: len(start)]) for beginning in (b'PK\3\4', old)):
        return _TORCH
    if start[8:9] == b'{' and 0 < int.from_bytes(start[:8], 'little') < 2**40:
        return _SAFETENSORS
    if start[:8] == mxnet_files.MAGIC[: len(start)]:
        return _MXNET
    if start[257:262] == b'ustar':
        if start.startswith(b'sys_info\0'):
            advice = 'load it by torch.load(FILE, weights_only=False) and save it again'
            return 'a PyTorch file of before 2017', advice
        return 'a tar archive', _UNPACK
    kind = next((kind for mark, kind in _BINARY.items() if start.startswith(mark)), None)
    return kind or _kind_of_text(start) or ('unknown data', _AGAIN)


def _kind_of_text(start: bytes) -> _Kind | None:
    try:
        # The last letter may be cut off.
        text = codecs.getincrementaldecoder('utf-8-sig')().decode(start).lstrip().lower()
    except UnicodeDecodeError:
        return None
    if not all(letter.isprintable() or letter.isspace() for letter in text):
        return None
    return next(kind for mark, kind in _TEXT.items() if re.match(mark, text))
