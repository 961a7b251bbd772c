"""A Slurm cluster of one node on loopback: the daemons of the system's packages, in a folder of their own.

``python tests/runs/slurm_cluster.py`` starts one and says how to use it, until it is interrupted.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "sinfo", "squeue", "scancel")
_PATIENCE = 30.0
"""Seconds for the node to be idle."""
_CONFIG = """
ClusterName=loopback
SlurmctldHost={node}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={worker}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
KillWait=5
SchedulerParameters=sched_interval=1,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
NodeName={node} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE OverSubscribe=YES State=UP
"""


class CannotStartError(Exception):
    """Why there is no cluster here."""


@contextmanager
def slurm_cluster(cpus: int = 2) -> Iterator[Path]:
    """Start a cluster and end it; the file of its settings is what ``SLURM_CONF`` names.

    Raises:
        CannotStartError: a program is missing, this is not root, or the node does not come up.
    """
    if missing := [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]:
        raise CannotStartError(f"no {', '.join(missing)}: apt-get install slurmctld slurmd slurm-client munge")
    if os.geteuid() != 0:
        raise CannotStartError("only root starts the daemons")
    node = socket.gethostname().partition(".")[0]
    with ExitStack() as stack:
        # The paths of sockets are short.
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="slurm-", dir="/tmp")))
        folder.chmod(0o755)
        for name in ("state", "spool"):
            (folder / name).mkdir()
        key = folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        config = folder / "slurm.conf"
        ports = {name: _free_port() for name in ("controller", "worker")}
        config.write_text(_CONFIG.format(node=node, folder=folder, cpus=cpus, **ports))
        munge = ["--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket"]
        munge += [f"--{name}-file={folder}/munged.{name}" for name in ("log", "pid", "seed")]
        for command in (
            ["munged", *munge],
            ["slurmctld", "-D", "-f", config],
            ["slurmd", "-D", "-f", config, "-N", node],
        ):
            stack.enter_context(_daemon(folder, [str(word) for word in command]))
        _wait(config, folder)
        yield config


@contextmanager
def _daemon(folder: Path, command: list[str]) -> Iterator[None]:
    with (folder / f"{command[0]}.out").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | {"PATH": _path()})
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(config: Path, folder: Path) -> None:
    """Wait until the node is idle."""
    environment = os.environ | {"SLURM_CONF": str(config), "PATH": _path()}
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        asked = ["sinfo", "-h", "-o", "%T"]
        said = subprocess.run(asked, env=environment, capture_output=True, text=True, check=False, timeout=_PATIENCE)
        if said.stdout.strip() == "idle":
            return
        time.sleep(0.2)
    logs = [f"{path.name}: {path.read_text(errors='replace')[-300:]}" for path in sorted(folder.glob("slurm*.[lo]*"))]
    raise CannotStartError(f"the node is not idle after {_PATIENCE:.0f} s: " + " | ".join(logs))


def _path() -> str:
    return f"{os.environ['PATH']}{os.pathsep}/usr/sbin"


def _free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return asked.getsockname()[1]


if __name__ == "__main__":
    with slurm_cluster() as running:
        sys.stdout.write(f"export SLURM_CONF={running}\n")
        sys.stdout.flush()
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            pass
