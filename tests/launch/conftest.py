import contextlib
import getpass
import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.launch.helpers import ENV

# Two GPUs of the name only: enough to see who is given which. The number of a job makes its port,
# and another cluster may run beside this one.
CONFIG = """
ClusterName=mmattn
SlurmctldHost={host}(127.0.0.1)
FirstJobId={first_job}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=bf_interval=1,sched_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 Gres=gpu:2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=test Nodes={host} PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes={host} PriorityTier=2
"""


class Cluster:
    """Slurm on this machine alone, with files, ports and keys of its own."""

    def __init__(self, folder):
        self.folder = folder
        path = f'{ENV["PATH"]}:/usr/sbin:/sbin'
        self.env = {**ENV, 'PATH': path, 'SLURM_CONF': str(folder / 'slurm.conf')}
        self.daemons = []

    def start(self):
        programs = ('munged', 'slurmctld', 'slurmd', 'srun', 'sbatch')
        missing = [name for name in programs if not shutil.which(name, path=self.env['PATH'])]
        if missing:
            pytest.skip(f'{", ".join(missing)} not installed; on Debian: slurm-wlm and munge')
        for name in ('state', 'spool'):
            (self.folder / name).mkdir()
        key = self.folder / 'munge.key'
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        config = CONFIG.format(
            folder=self.folder,
            host=socket.gethostname().split('.')[0],
            user=getpass.getuser(),
            ports=_free_ports(2),
            # Their ports lie below those that are given out as free ones.
            first_job=os.getpid() % 120 * 100 + 1,
        )
        (self.folder / 'slurm.conf').write_text(config)
        gpus = 'Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n'
        (self.folder / 'gres.conf').write_text(gpus)
        munge = dict(socket='munge.socket', seed='munge.seed', pid='munge.pid', key='munge.key')
        files = {k: self.folder / v for k, v in munge.items()}
        self._start(
            'munged',
            '--foreground',
            '--force',  # pytest's folders are closed to others
            f'--socket={files["socket"]}',
            f'--key-file={files["key"]}',
            f'--seed-file={files["seed"]}',
            f'--pid-file={files["pid"]}',
        )
        self._wait_for('munged', files['socket'].exists)
        self._start('slurmctld', '-D')
        self._start('slurmd', '-D')
        self._wait_for('slurmd', lambda: self.query('sinfo', '-ho', '%T').strip() == 'idle')

    def stop(self):
        if len(self.daemons) == 3:
            self.query('scancel', f'--user={getpass.getuser()}')
            deadline = time.monotonic() + 60
            while self.query('squeue', '-h') and time.monotonic() < deadline:
                time.sleep(0.2)
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(30)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def query(self, *command):
        done = subprocess.run(command, env=self.env, capture_output=True, text=True)
        return done.stdout

    def run(self, *command, cwd, **variables):
        """Run a command of the user's in a folder and give its output."""
        done = subprocess.run(
            list(map(str, command)),
            cwd=cwd,
            env={**self.env, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        return done.returncode, done.stdout

    def submit(self, *command, cwd, **variables):
        """Submit a batch job and give its number."""
        status, out = self.run(*command, cwd=cwd, **variables)
        assert status == 0, out
        return re.search(r'Submitted batch job (\d+)', out)[1]

    def job(self, number):
        """Give what Slurm knows of a job."""
        return dict(re.findall(r'(\w+)=(\S+)', self.query('scontrol', 'show', 'job', number)))

    def wait_for_job(self, number, *states):
        deadline = time.monotonic() + 600
        while (job := self.job(number))['JobState'] not in states:
            assert time.monotonic() < deadline, job
            time.sleep(0.2)
        return job

    def start_again(self, number):
        """Start a job that was queued again, which Slurm lets wait for two minutes."""
        # The node refuses what it is sent in the second in which it ended the job.
        self.query('scontrol', 'update', f'JobId={number}', 'StartTime=now+2')

    def _start(self, program, *options):
        with (self.folder / f'{program}.log').open('w') as log:
            command = [shutil.which(program, path=self.env['PATH']), *options]
            self.daemons.append(subprocess.Popen(command, env=self.env, stdout=log, stderr=log))

    def _wait_for(self, program, ready):
        deadline = time.monotonic() + 60
        while not ready():
            if time.monotonic() > deadline or self.daemons[-1].poll() is not None:
                lines = (self.folder / f'{program}.log').read_text().splitlines()
                pytest.skip(f'{program} does not start here: {" | ".join(lines[-3:])}')
            time.sleep(0.1)


def _free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(('', 0))) for _ in range(count)]
        return [s.getsockname()[1] for s in sockets]


@pytest.fixture(scope='session')
def cluster(tmp_path_factory):
    cluster = Cluster(Path(tmp_path_factory.mktemp('slurm')))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
