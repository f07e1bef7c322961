"""The command ``mmattn``: which commands there are, and how one of them starts."""

import argparse
import difflib
import re
import sys
from types import ModuleType

from mmattn import __version__
from mmattn.cli import (
    app,
    benchmark,
    cam,
    complexity,
    data_check,
    data_init,
    data_make,
    demo,
    deploy,
    doctor,
    modules,
    predict,
    sites,
    sweep_plot,
    sweep_run,
    sweep_table,
    test,
    train,
    visualize,
    weights_check,
    weights_convert,
    weights_get,
    weights_list,
    weights_path,
    weights_verify,
)
from mmattn.cli.environment import set_environment

# The first sentence of a file describes its command, add_arguments and main are what it does.
COMMANDS = {
    'train': train,
    'test': test,
    'predict': predict,
    'deploy': deploy,
    'visualize': visualize,
    'cam': cam,
    'app': app,
    'demo': demo,
    'list': modules,
    'sites': sites,
    'complexity': complexity,
    'benchmark': benchmark,
    'sweep run': sweep_run,
    'sweep table': sweep_table,
    'sweep plot': sweep_plot,
    'data init': data_init,
    'data make': data_make,
    'data check': data_check,
    'weights list': weights_list,
    'weights get': weights_get,
    'weights path': weights_path,
    'weights verify': weights_verify,
    'weights check': weights_check,
    'weights convert': weights_convert,
    'doctor': doctor,
}


def main() -> None:
    """Run the command that the command line names.

    Raises:
        SystemExit: With the exit status of the command, or 2 if there is no such command.
    """
    words = sys.argv[1:]
    for name, command in COMMANDS.items():
        length = len(name.split())
        if ' '.join(words[:length]) == name:
            start(command, words[length:], f'mmattn {name}')
    parser = argparse.ArgumentParser(
        prog='mmattn',
        usage='mmattn COMMAND ... | --help | --version',
        description=_describe_commands(),
        epilog='mmattn COMMAND --help says what a command takes.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    # The usage names them, and all fits one screen.
    parser.add_argument('-h', '--help', action='help', help=argparse.SUPPRESS)
    version = f'mmattn {__version__}'
    parser.add_argument('--version', action='version', version=version, help=argparse.SUPPRESS)
    if not words:
        parser.error('no command is given; mmattn --help lists them')
    # Options stand in front, or behind the first of two words, as in mmattn data --help.
    groups = {name.split()[0] for name in COMMANDS if ' ' in name}
    front = words[:2] if words[0] in groups else words[:1]
    parser.parse_args([word for word in front if word.startswith('-')])
    parser.error(_name_nearest(words))


def start(command: ModuleType, words: list[str] | None = None, prog: str | None = None) -> None:
    """Read the arguments of a command and run it.

    Args:
        command: File of this room.
        words: Its arguments; None for those of this process.
        prog: Its name in the help; None for that of the script.

    Raises:
        SystemExit: With its exit status.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        description=command.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(interrupted='interrupted')
    command.add_arguments(parser)
    args = parser.parse_args(words)
    if 'device' in args:
        set_environment(args.device, args.local_rank)

    # What loads the runner is not needed for --help and a mistyped option.
    from mmattn.cli.shell import run

    run(command.main, args)


def _describe_commands() -> str:
    lines = ['Train models with attention, and look at what goes into them and comes out.', '']
    for name, command in COMMANDS.items():
        lines.append(f'  {name:<16} {re.split("[.,:]", command.__doc__ or "")[0]}')
    return '\n'.join(lines)


def _name_nearest(words: list[str]) -> str:
    def likeness(name: str) -> float:
        typed = ' '.join(words[: len(name.split())])
        return difflib.SequenceMatcher(None, typed, name).ratio()

    nearest = max(COMMANDS, key=likeness)
    typed = ' '.join(words[: len(nearest.split())])
    return f'{typed!r} is no command; did you mean {nearest!r}? mmattn --help lists all'
