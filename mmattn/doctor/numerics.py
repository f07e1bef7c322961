"""numpy and opencv, which PyTorch and each other hold to bounds."""

from mmattn.doctor.environment import Environment, Installed
from mmattn.doctor.judgement import judge_import
from mmattn.doctor.repair import pip
from mmattn.doctor.row import Row
from mmattn.doctor.versions import is_below, sort_key

# From this one on opencv asks for numpy 2.
_OPENCV_OF_NUMPY_2 = '4.12'


def check_numpy(env: Environment) -> Row:
    """Look whether PyTorch can use this numpy."""
    version = env.version('numpy')
    row = Row('numpy', 'fine', version, env.where('numpy'))
    if env.is_missing('numpy'):
        wanted = "'numpy<2'" if env.wants_numpy_1 else 'numpy'
        return row.broken('not installed; needed for all of mmattn', pip('install', wanted))
    if env.wants_numpy_1 and not is_below(version, '2'):
        return row.broken(
            f'torch {env.version("torch")} is built for numpy 1: tensors and arrays cannot be '
            'turned into each other',
            pip('install', "'numpy<2'", *_below_numpy_2(env.find('cv2'))),
        )
    remedy = pip('install', '--force-reinstall', '--no-deps', f'numpy=={version}')
    return judge_import(env, row, 'numpy', remedy)


def check_opencv(env: Environment) -> Row:
    """Look whether opencv goes with numpy, is there in one version, and can be imported."""
    builds, numpy = env.find('cv2'), env.version('numpy')
    row = Row('opencv', 'fine', ', '.join(map(str, builds)) or None, env.where('cv2'))
    if env.is_missing('cv2'):
        wanted = 'opencv-python-headless'
        wanted = f"'{wanted}<{_OPENCV_OF_NUMPY_2}'" if is_below(numpy, '2') else wanted
        return row.broken('not installed; needed for all of mmattn', pip('install', wanted))
    newer = [each for each in builds if not is_below(each.version, _OPENCV_OF_NUMPY_2)]
    if newer and is_below(numpy, '2'):
        return row.broken(
            f'{newer[0]} asks for numpy 2, and numpy is {numpy}: pip will replace it',
            pip('install', *_below_numpy_2(builds)),
        )
    # The headless build takes the folder of the other one, and needs no libGL.
    words = [f'opencv-python-headless=={each.version}' for each in builds[:1]]
    remedy = pip('install', '--force-reinstall', '--no-deps', *words or ['opencv-python-headless'])
    row = judge_import(env, row, 'cv2', remedy)
    if row.state == 'fine' and len({each.version for each in env.find_sharing('cv2')}) > 1:
        newest = max(builds, key=lambda each: sort_key(each.version))
        words = [f'{each.name}=={newest.version}' for each in builds]
        return row.warning(
            'they share the folder cv2, in which the files of the last one installed lie',
            pip('install', '--force-reinstall', '--no-deps', *words),
        )
    return row


def _below_numpy_2(builds: list[Installed]) -> list[str]:
    names = [each.name for each in builds] or ['opencv-python']
    return [f"'{name}<{_OPENCV_OF_NUMPY_2}'" for name in names]
