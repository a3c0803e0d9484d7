"""scripts/slurm on a Slurm of two nodes that this test brings up on this machine and takes down again (Debian: slurm-wlm, munge). It needs root, as
Slurm's daemons start tasks in the names of users."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import harness

TOOLS = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "scontrol", "sinfo", "unshare")
NODES = 2


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Slurm:
    """A controller and NODES node daemons on this host, without accounting and cgroups; everything lies in one folder."""

    def __init__(self, folder):
        self.folder = folder
        self.daemons = []
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        for name in ("state", "spool", "pmix"):
            (self.folder / name).mkdir(parents=True)
        self.write_configuration()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        munge = {name: self.folder / f"munge.{name}" for name in ("socket", "pid", "log", "seed")}
        self.spawn(
            "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={munge['socket']}", f"--pid-file={munge['pid']}",
            f"--log-file={munge['log']}", f"--seed-file={munge['seed']}")  # fmt: skip
        self.wait_for(munge["socket"].exists, "munged")
        self.spawn("slurmctld", "-D")
        for i in range(NODES):
            # Nodes have names and PMIx folders of their own: on one host they would collide.
            own = f"hostname node{i} && mount -t tmpfs none {self.folder}/pmix && exec slurmd -D -N node{i}"
            self.spawn("unshare", "--mount", "--uts", "sh", "-c", own)
        self.wait_for(lambda: len(self.run("sinfo", "-h", "-N", "-t", "idle", check=False).stdout.splitlines()) == NODES, "idle nodes")

    def write_configuration(self):
        control, *ports = free_ports(1 + NODES)
        host, folder = socket.gethostname(), self.folder
        nodes = "\n".join(f"NodeName=node{i} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 State=UNKNOWN" for i, port in enumerate(ports))
        # CgroupPlugin is not used, but without it slurmd looks for cgroups that a container may not have.
        (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        (folder / "mpi.conf").write_text(f"PMIxCliTmpDirBase={folder}/pmix\n")
        (folder / "slurm.conf").write_text(
            f"""ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={control}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmdSpoolDir={folder}/spool/%n
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,batch_sched_delay=0
ReturnToService=2
KillWait=2
CompleteWait=0
{nodes}
PartitionName=main Nodes=node[0-{NODES - 1}] Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""
        )

    def spawn(self, *command):
        log = open(self.folder / "daemons.log", "a")
        with log:
            self.daemons.append(subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True))

    def wait_for(self, condition, what, seconds=30):
        end = time.monotonic() + seconds
        while not condition():
            broken = [daemon.args[0] for daemon in self.daemons if daemon.poll() is not None]
            if broken or time.monotonic() > end:
                print((self.folder / "daemons.log").read_text())
                raise SystemExit(f"FAILED: Slurm did not come up: {what}; ended: {broken}")
            time.sleep(0.2)

    def stop(self):
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(daemon.pid, signal.SIGKILL)
                daemon.wait()

    def run(self, *command, check=True):
        """With a deadline: Slurm waits for ever for nodes that are not up."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60, check=check)

    def submit(self, folder, *arguments, **environment):
        """Submits from a folder and waits for the end; {array index, or None: state}."""
        result = subprocess.run(
            ["sbatch", "--parsable", *arguments], cwd=folder, env={**self.environment, **environment}, capture_output=True, text=True, timeout=60
        )
        if result.returncode != 0:
            raise SystemExit(f"FAILED: sbatch: {result.stderr}")
        job = result.stdout.strip()
        end = time.monotonic() + 150
        while time.monotonic() < end:
            states = {}
            for line in self.run("scontrol", "--oneliner", "show", "job", job).stdout.splitlines():
                facts = dict(word.partition("=")[::2] for word in line.split() if "=" in word)
                states[facts.get("ArrayTaskId")] = facts["JobState"]
            if all(state not in ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING") for state in states.values()):
                return states
            time.sleep(0.5)
        raise SystemExit(f"FAILED: job {job} did not end: {states}")


def write_inputs(folder):
    data = harness.write_lines(folder / "rows.tsv", harness.make_lines(512))
    (folder / "base.yaml").write_text(
        f"data: {{train: [{data}], max_rows: 100}}\nmodel: {{embedding_dim: 4, bottom: [8], top: [8]}}\n"
        f"train: {{global_batch: 128, samples: 512}}\nsystem: {{threads: 1}}\noutput: {{dir: {folder}/base, checkpoint_every: -1}}\n"
    )
    (folder / "sweep.yaml").write_text("config: base.yaml\ngrid: {model.embedding_dim: [4, 8, 12]}\nranks: [1, 2]\n")


def check_train(checks, slurm, folder, launcher):
    config = folder / "base.yaml"
    script = harness.REPOSITORY / "scripts/slurm/train.sbatch"
    environment = {"SPARROW_PROGRAM": harness.PROGRAM, "SPARROW_ROOT": str(harness.REPOSITORY), "SPARROW_LAUNCHER": launcher}
    out = folder / f"with_{launcher}"
    states = slurm.submit(folder, "--time=2", f"--output={out}.log", str(script), str(config), "--set", f"output.dir={out}", **environment)
    checks.equal(states, {None: "COMPLETED"}, f"train.sbatch with {launcher}")
    log = pathlib.Path(f"{out}.log").read_text()
    if not checks.that((out / "summary.json").exists(), "it leaves a summary") or not checks.that("2 ranks on 2 nodes" in log, "two ranks on two nodes"):
        print(log)
    states = slurm.submit(folder, "--time=2", f"--output={out}.log", str(script), str(config), "--set", "train.epochs=none", **environment)
    checks.equal(states, {None: "FAILED"}, f"train.sbatch with {launcher} and a broken configuration")
    checks.that("train.epochs" in pathlib.Path(f"{out}.log").read_text(), "its log names the key")


def check_signal(checks, slurm, folder):
    """SIGUSR1 for the batch shell reaches the ranks: recorded by a program that stands in for sparrow."""
    program = folder / "recorder"
    program.write_text(f"""#!/bin/bash
[[ $1 == train ]] || exit 0
trap 'touch {folder}/usr1.$SLURM_PROCID; exit 0' USR1
touch {folder}/ready.$SLURM_PROCID
for ((i = 0; i < 300; i++)); do sleep 0.1; done
exit 3
""")
    program.chmod(0o755)
    environment = {"SPARROW_PROGRAM": str(program), "SPARROW_ROOT": str(harness.REPOSITORY)}
    script = str(harness.REPOSITORY / "scripts/slurm/train.sbatch")
    job = subprocess.run(["sbatch", "--parsable", f"--output={folder}/signal.log", script, "any.yaml"], cwd=folder, check=True,
                         env={**slurm.environment, **environment}, capture_output=True, text=True, timeout=60).stdout.strip()  # fmt: skip
    slurm.wait_for(lambda: all((folder / f"ready.{i}").exists() for i in range(2)), "ranks that wait for the signal")
    slurm.run("scancel", "--batch", "--signal=USR1", job)
    slurm.wait_for(lambda: "JobState=COMPLETED" in slurm.run("scontrol", "show", "job", job).stdout, "a job that ends after the signal")
    checks.that(all((folder / f"usr1.{i}").exists() for i in range(2)), "SIGUSR1 reaches both ranks")


def check_sweep(checks, slurm, folder):
    environment = {"SPARROW_PROGRAM": harness.PROGRAM, "SPARROW_ROOT": str(harness.REPOSITORY)}
    script = str(harness.REPOSITORY / "scripts/slurm/sweep.sbatch")
    out = folder / "array"
    arguments = ("--time=4", "--nodes=2", script, str(folder / "sweep.yaml"), "--out", str(out))
    states = slurm.submit(folder, "--array=0-2", f"--output={folder}/array-%a.log", *arguments, **environment)
    checks.equal(states, {str(i): "COMPLETED" for i in range(3)}, "sweep.sbatch as an array of three jobs")
    lines = (out / "results.csv").read_text().splitlines() if (out / "results.csv").exists() else []
    checks.equal(len(lines), 1 + 6, "lines of results.csv")
    checks.equal(sum(",done," in line for line in lines), 6, "runs that are done")
    if len(lines) != 7:
        print(*(path.read_text() for path in sorted(folder.glob("array-*.log"))))
    states = slurm.submit(folder, "--array=3-4", f"--output={folder}/late.log", *arguments, **environment)
    checks.that(set(states.values()) == {"FAILED"}, "an array that does not begin at 0 is refused")


def test(checks, folder):
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        harness.skip(f"no {', '.join(missing)} here (Debian: slurm-wlm, munge)")
    if os.geteuid() != 0:
        harness.skip("Slurm's daemons need root")
    if subprocess.run(["unshare", "--mount", "--uts", "true"], stderr=subprocess.DEVNULL).returncode != 0:
        harness.skip("unshare --mount --uts is not permitted here")
    folder.chmod(0o755)
    write_inputs(folder)
    with Slurm(folder / "slurm") as slurm:
        check_train(checks, slurm, folder, "srun")
        check_train(checks, slurm, folder, "mpirun")
        check_signal(checks, slurm, folder)
        check_sweep(checks, slurm, folder)


harness.main(test)
