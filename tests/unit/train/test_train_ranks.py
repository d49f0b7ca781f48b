"""Several processes train what one would have trained."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny_runs import losses, same, tensors, trained

from zoo.errors import ZooError
from zoo.recipe import load_recipe
from zoo.train.launch import _blame, gpus, launch
from zoo.train.ranks import Ranks, environment, first_host
from zoo.weights.file import read_weights, save_weights

ROOT, JOBS = Path(__file__).parents[3], Path(__file__).with_name("rank_jobs.py")
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
STEPS, SAID = "train.steps=12", "said.json"


@pytest.fixture(scope="module")
def runs(recipe_file, tmp_path_factory):
    """Folders of runs in two processes, by name; all are trained in one go."""
    root = tmp_path_factory.mktemp("ranks")
    trained(load_recipe(recipe_file, ["train.steps=5"]), root / "from one")
    cases = {
        "ddp": {}, "micro": {"overrides": ["train.micro_batch=1", "train.val_every=6"]},
        "fsdp": {"overrides": ["train.parallel=fsdp", "train.val_every=6", "train.preview_every=12"]},
        "cramped": {"fits": 2}, "graphs": {"graphs": True, "overrides": ["train.micro_batch=1"]},
        "parts": {"stop": [1, 7]}, "parts again": {"folder": "parts", "resume": True},
        "sharded parts": {"stop": [1, 7], "overrides": ["train.parallel=fsdp"]},
        "sharded parts again": {"folder": "sharded parts", "resume": True, "overrides": ["train.parallel=fsdp"]},
        "to one": {"stop": [0, 9], "overrides": ["train.parallel=fsdp"]},
        "to three": {"stop": [0, 9], "overrides": ["train.parallel=fsdp"]},
        "from one": {"resume": True, "overrides": ["train.parallel=fsdp"]},
        "full": {"full": [1, 3], "overrides": ["train.parallel=fsdp", "train.save_every=6"]},
    }  # fmt: skip
    done = started(root, recipe_file, cases, 2)
    said = json.loads((root / SAID).read_text())  # not printed: lines of two processes may mix
    return root, dict(zip(cases, said, strict=True)), done.stdout


def started(root: Path, recipe_file: Path, cases: dict[str, dict], processes: int) -> subprocess.CompletedProcess:
    """Train them under torchrun."""
    jobs = [{**case, "recipe": str(recipe_file), "overrides": [STEPS, *case.get("overrides", [])],
             "folder": str(root / case.get("folder", name))} for name, case in cases.items()]  # fmt: skip
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}",
               str(JOBS), json.dumps(jobs), str(root / SAID)]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, env=ENV, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-4000:]
    return done


@pytest.fixture(scope="module")
def alone(recipe_file, tmp_path_factory):
    """The same run in one process."""
    folder = tmp_path_factory.mktemp("alone")
    trained(load_recipe(recipe_file, [STEPS, "train.val_every=6"]), folder)
    return folder


def curve(folder: Path, key: str = "loss") -> list[float]:
    return [record[key] for record in losses(folder) if key in record]


@pytest.mark.parametrize("name", ["ddp", "micro", "fsdp", "cramped", "graphs"])
def test_two_processes_have_the_losses_and_the_weights_of_one(runs, alone, name):
    assert curve(runs[0] / name) == pytest.approx(curve(alone), rel=1e-6)
    one, two = tensors(alone, 12), tensors(runs[0] / name, 12)
    assert one.keys() == two.keys()
    for key, tensor in one.items():
        assert (tensor - two[key]).norm() <= 2e-4 * max(tensor.norm(), 1e-3), key


@pytest.mark.parametrize("name", ["micro", "fsdp"])
def test_validation_is_shared(runs, alone, name):
    for key in ("val", "val_ema", "val_constant"):
        assert curve(runs[0] / name, key) == pytest.approx(curve(alone, key), rel=1e-5)


def test_spread_weights_draw_previews(runs):
    assert (runs[0] / "fsdp/samples/step-00000012.png").exists()


@pytest.mark.parametrize(("name", "whole"), [("parts", "ddp"), ("sharded parts", "fsdp")])
def test_a_signal_to_one_process_stops_both_and_the_run_goes_on_exactly(runs, name, whole):
    root, said, _ = runs
    assert "stopped by another process at step 7" in said[name] and "finished 12" in said[f"{name} again"]
    assert same(tensors(root / name, 12), tensors(root / whole, 12))
    assert curve(root / name) == curve(root / whole)


def test_what_two_processes_saved_one_continues(runs, alone, tiny):
    folder = runs[0] / "to one"
    assert "finished 12" in trained(tiny(STEPS, "train.parallel=fsdp"), folder, resume=True)
    one, two = tensors(alone, 12), tensors(folder, 12)
    assert all((one[key] - two[key]).norm() <= 2e-4 * max(one[key].norm(), 1e-3) for key in one)
    assert curve(folder) == pytest.approx(curve(alone), rel=1e-6)


@pytest.mark.parametrize("name", ["from one", pytest.param("to three", marks=pytest.mark.long)])
def test_what_some_processes_saved_any_number_continues_in_parts(runs, alone, recipe_file, name):
    if name == "to three":
        started(runs[0], recipe_file, {name: {"resume": True, "overrides": ["train.parallel=fsdp"]}}, 3)
    one, other = tensors(alone, 12), tensors(runs[0] / name, 12)
    assert all((one[key] - other[key]).norm() <= 2e-4 * max(one[key].norm(), 1e-3) for key in one)
    assert curve(runs[0] / name)[-2:] == pytest.approx(curve(alone)[-2:], rel=1e-6)


def test_what_each_process_wrote_its_rows_of_is_the_file_that_one_would_have_written(runs, tmp_path):
    folder = runs[0] / "fsdp/checkpoints/step-00000012"
    files = sorted(folder.glob("*.safetensors"))
    assert {p.name for p in folder.iterdir()} - {p.name for p in files} == {"MANIFEST.json"} and len(files) == 4
    for file in files:
        held = read_weights(file)
        save_weights(tmp_path / file.name, held.tensors, held.recipe_yaml, held.card)
        assert file.read_bytes() == (tmp_path / file.name).read_bytes(), file.name


def test_a_full_disk_of_one_process_costs_one_save_of_all(runs, alone):
    root, said, everything = runs
    assert everything.count("NOT SAVED at step 6: [Errno 28] No space left on device") == 1
    assert "finished 12" in said["full"] and curve(root / "full") == pytest.approx(curve(alone), rel=1e-6)
    assert [p.name for p in (root / "full/checkpoints").iterdir()] == ["step-00000012"]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are seen in /proc")
def test_no_thread_of_ddp_is_left_that_could_abort_a_process_at_its_end(recipe_file, tmp_path):
    script = tmp_path / "train.py"
    script.write_text("from pathlib import Path\nfrom zoo.cli.train import main\nmain()\n"
                      "print('left:', *(t.read_text().strip() for t in Path('/proc/self/task').glob('*/comm')))\n")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script),
               str(recipe_file), "train.steps=2", "--device", "cpu", "--out", str(tmp_path / "a")]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, env=ENV, capture_output=True, text=True, timeout=120)
    left = [line for line in done.stdout.splitlines() if "left:" in line]
    assert done.returncode == 0 and len(left) == 2 and not any("gloo" in line for line in left), done.stdout


def test_the_command_starts_its_processes_and_a_signal_to_it_saves_once(recipe_file, tiny, tmp_path):
    command = [sys.executable, "-u", "-m", "zoo.cli.train", str(recipe_file), "train.steps=4000", "--device", "cpu",
               "--gpus", "2", "--out", str(tmp_path / "a")]  # fmt: skip
    with subprocess.Popen(command, cwd=ROOT, env=ENV, stdout=subprocess.PIPE, text=True) as process:
        heard = []
        for line in process.stdout:
            heard.append(line)
            if line.startswith("step 9/"):
                asked = time.monotonic()
                process.send_signal(signal.SIGTERM)
        took = time.monotonic() - asked
    assert process.returncode == 0 and took < 10
    assert sum("stopped by SIGTERM at step" in line for line in heard) == 1
    assert sum(line.startswith("step 9/") for line in heard) == 1 and any("2 x cpu" in line for line in heard)
    assert not (tmp_path / "a/run.lock").exists() and len(list((tmp_path / "a/checkpoints").iterdir())) == 1


@pytest.fixture
def program(tmp_path, monkeypatch):
    """program(text): a module that `launch` can run, without torch."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def write(text: str) -> str:
        (tmp_path / "program.py").write_text(f"import os, sys, time\nrank = int(os.environ['RANK'])\n{text}")
        return "program"

    return write


def test_a_failing_process_ends_the_others_and_what_it_said_is_shown(program, tmp_path, capfd):
    before = signal.getsignal(signal.SIGTERM)
    spoken = tmp_path / "spoken"
    waiting = program(f"print('rank', rank)\nspoken = {str(spoken)!r}\nif rank == 0: open(spoken, 'w').close()\n"
                      "while rank != 1 or not os.path.exists(spoken): time.sleep(0.01)\nsys.exit('no such picture')")
    started = time.monotonic()
    assert launch(waiting, [], 3) == 1 and time.monotonic() - started < 20
    out, err = capfd.readouterr()
    assert "process 1 of 3 failed:\nno such picture" in err and out == "rank 0\n"
    assert signal.getsignal(signal.SIGTERM) is before


def test_one_process_is_not_started_by_another(recipe_file, tmp_path, monkeypatch):
    """`--gpus -1` where there is one GPU or none; and whoever was started with `--gpus 2` starts nobody."""
    from zoo.cli.train import main

    monkeypatch.setattr("zoo.train.launch.launch", lambda *given: pytest.fail("a process was started"))
    words = [str(recipe_file), "train.steps=1", "--device", "cpu", "--gpus"]
    assert main([*words, "-1", "--out", str(tmp_path / "a")]) == 0
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert gpus(-1, "auto") == 1 and gpus(2, "cpu") == 2
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    assert gpus(-1, "auto") == 4 and gpus(3, "cuda") == 3
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    for name, value in zip(names, ("1", "1", "2", "a", "1")):
        monkeypatch.setenv(name, value)
    assert gpus(2, "cpu") == 1


@pytest.mark.parametrize("count", [0, -2, 9])
def test_so_many_processes_cannot_be(count, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    with pytest.raises(ZooError, match=f"--gpus {count}"):
        gpus(count, "auto")


def test_an_error_of_the_first_process_is_not_repeated(program, capfd):
    failing = program("if rank == 1: time.sleep(60)\nsys.stderr.write('error: recipe\\n'); sys.exit(2)")
    assert launch(failing, [], 2) == 2
    assert capfd.readouterr().err == "error: recipe\n"


@pytest.mark.parametrize(("exits", "blamed"), [
    ({1: 2, 0: 2, 2: 2}, 0),  # a mistake that all have found: the first one has said it
    ({0: -15, 1: -15, 2: 2}, 2), ({0: 1, 2: 2}, 2), ({0: -15, 2: 1, 1: -15}, 2), ({2: 1, 0: 1}, 2),
    ({2: -9, 1: -15}, 2),
])  # fmt: skip
def test_of_several_processes_that_failed_the_cause_is_blamed(exits, blamed):
    """In the order in which they failed."""
    failures = [SimpleNamespace(local_rank=rank, exitcode=code, timestamp=i)
                for i, (rank, code) in enumerate(exits.items())]  # fmt: skip
    assert min(failures, key=_blame).local_rank == blamed


SLOW = """import os, time
if os.environ.get("RANK") == "0":
    import torch.distributed as dist
    plain = dist.destroy_process_group
    dist.destroy_process_group = lambda: (time.sleep(1), plain())
"""


@pytest.mark.parametrize("wrong", ["a folder that is a file", "no images"])
def test_a_mistake_that_all_processes_meet_is_said_once(wrong, recipe_file, tmp_path):
    """By the first one, even where it is slower than the others."""
    (tmp_path / "sitecustomize.py").write_text(SLOW)
    if wrong == "no images":
        words = [f"data={{use: folder, path: {tmp_path / 'nothing'}}}"]
    else:
        words = []
        (tmp_path / "a").write_text("no folder")
    command = [sys.executable, "-m", "zoo.cli.train", str(recipe_file), *words, "--device", "cpu", "--gpus", "2",
               "--out", str(tmp_path / "a")]  # fmt: skip
    env = {**ENV, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and done.stderr.count("error") == 1 and "of 2 failed" not in done.stderr, done.stderr


def test_environments_of_torchrun_and_slurm():
    assert environment({}) is None and environment({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}) is None
    slurm = {"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_JOB_ID": "12345",
             "SLURM_STEP_NODELIST": "gpu[003-004],fat1", "SLURM_STEP_NUM_NODES": "3"}  # fmt: skip
    assert environment(slurm) == {"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "3",
                                  "MASTER_ADDR": "gpu003", "MASTER_PORT": "32345"}  # fmt: skip
    torchrun = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "a", "MASTER_PORT": "1"}
    assert environment({**slurm, **torchrun}) == torchrun | {"LOCAL_WORLD_SIZE": "4"}
    assert environment({**torchrun, "LOCAL_WORLD_SIZE": "2"}) == torchrun | {"LOCAL_WORLD_SIZE": "2"}


def test_two_nodes_of_slurm_meet_and_train_what_one_process_would(recipe_file, alone, tmp_path):
    """Two processes with nothing but what srun tells each on two nodes; the job's number says the port."""
    command = [sys.executable, "-m", "zoo.cli.train", str(recipe_file), STEPS, "train.val_every=6", "--device", "cpu",
               "--out", str(tmp_path / "a")]  # fmt: skip
    told = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_LOCALID": "0", "SLURM_JOB_ID": str(7000 + os.getpid() % 9000),
            "SLURM_STEP_NODELIST": "localhost,elsewhere"}  # fmt: skip
    nodes = [subprocess.Popen(command, cwd=ROOT, env={**ENV, **told, "SLURM_PROCID": str(rank)}, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for rank in (0, 1)]  # fmt: skip
    first, second = (node.communicate(timeout=240)[0] for node in nodes)
    assert [node.returncode for node in nodes] == [0, 0], first + second
    assert "2 x cpu" in first and "finished 12 updates" in first and not second
    assert curve(tmp_path / "a") == pytest.approx(curve(alone), rel=1e-6)


@pytest.mark.parametrize(("nodes", "host"), [("node1", "node1"), ("a-b[1,3]", "a-b1"), ("x[07-12]", "x07"),
                                             ("n1,n2", "n1")])  # fmt: skip
def test_the_first_host_of_a_list(nodes, host):
    assert first_host(nodes) == host


def test_one_process_agrees_with_itself():
    ranks = Ranks(torch.device("cpu"))
    assert ranks.any(True) and not ranks.any(False) and ranks.least(3) == 3 and ranks.texts("a") == ["a"]
    assert ranks.on_first(lambda: 5) == 5 and ranks.sum(torch.ones(2)).tolist() == [1, 1]
