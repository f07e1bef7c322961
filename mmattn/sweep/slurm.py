"""A sweep as a job array of Slurm: each task takes one of the runs that are left."""

import shlex
import subprocess
import sys
from pathlib import Path

from mmattn.errors import InputError
from mmattn.files.whole_file import write_whole

_SCRIPT = """#!/usr/bin/env bash
#SBATCH --job-name={name}
#SBATCH --array=0-{last}
#SBATCH --ntasks=1
#SBATCH --output={output}
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120
{gpus}# Written by mmattn sweep. Two minutes before its time limit a task tells its training to
# write a checkpoint, and queues again; whichever task comes next goes on from there.
set -uo pipefail

told=
{command} &
sweep=$!
trap 'told=1; kill -USR1 "$sweep" 2> /dev/null' USR1 TERM
# A signal ends the wait before the sweep ends.
while kill -0 "$sweep" 2> /dev/null; do
    wait "$sweep"
done
wait "$sweep"
status=$?
# After scancel the job is no longer running.
job=$(scontrol --oneliner show job "$SLURM_JOB_ID")
if [ -n "$told" ] && [[ $job == *' JobState=RUNNING '* ]]; then
    exec scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
"""


def write_script(folder: Path, count: int, gpus: int, words: list[str]) -> Path:
    """Write the batch script of a sweep.

    Args:
        folder: Folder of the sweep.
        count: Runs that are left, one task for each.
        gpus: GPUs of each task; 0 for none.
        words: What else the command is given.

    Returns:
        The script.

    Raises:
        InputError: If it cannot be written.
    """
    (folder / 'slurm').mkdir(exist_ok=True)
    command = [
        *(sys.executable, '-m', 'mmattn', 'sweep', 'run', '--out', str(folder), '--one'),
        *words,
    ]
    text = _SCRIPT.format(
        name=shlex.quote(folder.name),
        last=count - 1,
        # Slurm replaces the number of the job and that of the task.
        output=f'{folder}/slurm/%A_%a.txt',
        gpus=f'#SBATCH --gres=gpu:{gpus}\n' if gpus else '',
        command=shlex.join(command),
    )
    script = folder / 'array.sh'
    write_whole(script, lambda path: path.write_text(text))
    return script


def command(script: Path, options: str) -> list[str]:
    """Give the command that submits a script.

    Args:
        script: The batch script.
        options: Options of sbatch, quoted as in a shell, which win over those of the script.

    Raises:
        InputError: If a quote does not end.
    """
    try:
        return ['sbatch', *shlex.split(options), str(script)]
    except ValueError as error:
        raise InputError(f'--sbatch {options} has a quote that does not end') from error


def submit(command: list[str]) -> str:
    """Submit a job.

    Returns:
        What sbatch says.

    Raises:
        InputError: If there is no sbatch, or it refuses.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise InputError(
            'sbatch is not found; start this where Slurm is installed, or see what it would run '
            'with --dry-run'
        ) from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ['no message']
        raise InputError(f'sbatch refuses the job: {lines[-1]}; look at --sbatch')
    return done.stdout.strip()
