"""A SLURM cluster on one machine: a controller, nodes with processors, nodes with GPUs that are none, all below one folder.

Needs root and Debian's packages slurm-wlm and munge, which `install` fetches. Outside its folder it only makes the link
/etc/slurm/slurm.conf, as the executor plugin's job steps forget SLURM_CONF.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

LINK = Path("/etc/slurm/slurm.conf")
CPU_NODES, GPU_NODES = ("cpu1", "cpu2"), ("gpu1", "gpu2")
NODES = CPU_NODES + GPU_NODES
GPUS = 2
_NODE_MB = 16_000


def install() -> None:
    """Install SLURM and munge where they are missing."""
    if all(map(shutil.which, ("slurmctld", "slurmd", "munged", "sbatch"))):
        return
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], check=True, env=environment)
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "slurm-wlm", "munge"]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


class Cluster:
    """A cluster below a folder; a context manager that starts and stops it."""

    def __init__(self, root: Path) -> None:
        """Write its files."""
        self.root = root
        for name in ("log", "pid", "state", "munge", "gpus", *(f"spool/{node}" for node in NODES)):
            (root / name).mkdir(parents=True, mode=0o755)
        key = root / "munge/munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(1024))
        (root / "slurm.conf").write_text(self._slurm_conf())
        (root / "gres.conf").write_text(self._gres_conf())

    def __enter__(self) -> "Cluster":
        # The daemons look for gres.conf beside it.
        os.environ["SLURM_CONF"] = str(self.root / "slurm.conf")
        if LINK.is_symlink():
            LINK.unlink()
        if LINK.exists():
            raise RuntimeError(f"{LINK} is a real file: this machine has a SLURM of its own")
        LINK.parent.mkdir(exist_ok=True)
        LINK.symlink_to(self.root / "slurm.conf")
        try:
            self._start_munge()
            self.start_controller()
            for node in NODES:
                self.start_node(node)
            self._wait("idle nodes", lambda: len(self._words("sinfo", "-hN", "-t", "idle", "-o", "%N")) >= len(NODES))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_up("slurmctld"):
            subprocess.run(["scancel", "-u", "root"], check=False, timeout=30)
        for name in (*(f"slurmd-{node}" for node in NODES), "slurmctld", "munged"):
            self.stop(name)
        LINK.unlink(missing_ok=True)
        os.environ.pop("SLURM_CONF", None)

    def start_controller(self) -> None:
        """Start slurmctld and wait until it answers."""
        subprocess.run(["slurmctld"], check=True)
        self._wait("the controller", lambda: "UP" in " ".join(self._words("scontrol", "ping")))

    def start_node(self, node: str) -> None:
        """Start a node's daemon."""
        subprocess.run(["slurmd", "-N", node], check=True)

    def stop(self, name: str, how: int = signal.SIGTERM) -> None:
        """Stop a daemon by its pid file: `slurmctld`, `munged` or `slurmd-NODE`."""
        pid = self._pid(name)
        if pid is None:
            return
        os.kill(pid, how)
        for _ in range(100):
            if self._pid(name) is None:
                return
            time.sleep(0.1)
        os.kill(pid, signal.SIGKILL)

    def state(self, node: str) -> str:
        """Return what the controller says of a node: "idle", "down", "drained" and the like."""
        return " ".join(self._words("sinfo", "-hN", "-n", node, "-o", "%T"))

    def drain(self, node: str) -> None:
        """Let a node's jobs end and give it no more."""
        subprocess.run(["scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=test"], check=True)

    def resume(self, node: str) -> None:
        """Give a drained node jobs again."""
        subprocess.run(["scontrol", "update", f"NodeName={node}", "State=RESUME"], check=True)

    def jobs(self) -> list[dict[str, str]]:
        """Return what the controller knows of every job, as scontrol's keys and values."""
        shown = subprocess.run(["scontrol", "-o", "show", "job"], capture_output=True, text=True, check=True).stdout
        return [
            dict(w.split("=", 1) for w in line.split() if "=" in w) for line in shown.splitlines() if "JobId" in line
        ]

    def _start_munge(self) -> None:
        folder = self.root / "munge"
        subprocess.run(
            [
                "munged",
                # Its folder may be closed to others: only root is here.
                "--force",
                f"--key-file={folder}/munge.key",
                f"--socket={folder}/socket",
                f"--pid-file={self.root}/pid/munged.pid",
                f"--log-file={self.root}/log/munged.log",
                f"--seed-file={folder}/seed",
            ],
            check=True,
        )
        self._wait("munge", lambda: bool(self._words("munge", "-S", f"{folder}/socket", "-n")))

    def _slurm_conf(self) -> str:
        host, root, cores = socket.gethostname().split(".")[0], self.root, os.cpu_count()
        ports = _free_ports(1 + len(NODES))
        lines = [
            "ClusterName=test",
            f"SlurmctldHost={host}(127.0.0.1)",
            f"SlurmctldPort={ports[0]}",
            "SlurmUser=root",
            "SlurmdUser=root",
            "AuthType=auth/munge",
            f"AuthInfo=socket={root}/munge/socket",
            f"StateSaveLocation={root}/state",
            f"SlurmdSpoolDir={root}/spool/%n",
            f"SlurmctldPidFile={root}/pid/slurmctld.pid",
            f"SlurmdPidFile={root}/pid/slurmd-%n.pid",
            f"SlurmctldLogFile={root}/log/slurmctld.log",
            f"SlurmdLogFile={root}/log/slurmd-%n.log",
            "ProctrackType=proctrack/linuxproc",
            # Binds a job to the cores it was given, where there are no control groups.
            "TaskPlugin=task/affinity",
            "SwitchType=switch/none",
            "MpiDefault=none",
            "CommunicationParameters=NoInAddrAny",
            "SelectType=select/cons_tres",
            "SelectTypeParameters=CR_Core_Memory",
            "GresTypes=gpu",
            # Nodes may claim more than the machine has.
            "SlurmdParameters=config_overrides",
            "SchedulerParameters=sched_interval=2,bf_interval=2,sched_min_interval=0,batch_sched_delay=0",
            "SlurmdTimeout=15",
            "ReturnToService=2",
            # Ended jobs stay listed until the tests have looked at them, however slow the machine.
            "MinJobAge=7200",
            "AccountingStorageType=accounting_storage/none",
            # Ends a job that takes more memory than it asked for.
            "JobAcctGatherType=jobacct_gather/linux",
            "JobAcctGatherFrequency=task=1",
            "JobAcctGatherParams=OverMemoryKill",
        ]
        for node, port in zip(NODES, ports[1:], strict=True):
            gpus = f" Gres=gpu:fake:{GPUS}" if node in GPU_NODES else ""
            claimed = f"CPUs={cores} RealMemory={_NODE_MB}{gpus} State=UNKNOWN"
            lines.append(f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} {claimed}")
        lines.append(f"PartitionName=cpu Nodes={','.join(CPU_NODES)} Default=YES MaxTime=INFINITE State=UP")
        lines.append(f"PartitionName=gpu Nodes={','.join(GPU_NODES)} MaxTime=INFINITE State=UP")
        return "\n".join(lines) + "\n"

    def _gres_conf(self) -> str:
        lines = ["AutoDetect=off"]
        for node in GPU_NODES:
            for n in range(GPUS):
                # A character device like /dev/null; with a plain file CUDA_VISIBLE_DEVICES would not be set.
                os.mknod(self.root / f"gpus/{node}-{n}", 0o20666, os.makedev(1, 3))
            lines.append(f"NodeName={node} Name=gpu Type=fake File={self.root}/gpus/{node}-[0-{GPUS - 1}]")
        return "\n".join(lines) + "\n"

    def _is_up(self, name: str) -> bool:
        return self._pid(name) is not None

    def _pid(self, name: str) -> int | None:
        """Return the pid of a daemon that runs, by its pid file."""
        try:
            pid = int((self.root / f"pid/{name}.pid").read_text())
            stat = Path(f"/proc/{pid}/stat").read_text()
            is_it = f"({name.split('-')[0]})" in stat and ") Z " not in stat
        except (OSError, ValueError):
            return None
        return pid if is_it else None

    @staticmethod
    def _words(*command: str) -> list[str]:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()

    def _wait(self, what: str, is_so: Callable[[], bool], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > end:
                logs = "\n".join(file.read_text(errors="replace")[-1500:] for file in (self.root / "log").iterdir())
                raise TimeoutError(f"gave up waiting for {what}:\n{logs}")
            time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


if __name__ == "__main__":
    install()
