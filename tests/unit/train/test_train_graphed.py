"""Updates through graphs: the same numbers, memory that stays, every reason to do without; replays are played here."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from played import Played
from tiny_runs import losses, same, tensors, trained

from zoo.builder import section
from zoo.errors import DataError, RecipeError
from zoo.train import report
from zoo.train.feed import Feed
from zoo.train.graphed import WARM, Graphed, obstacle
from zoo.train.guard import Guard
from zoo.train.ranks import Ranks
from zoo.train.state import State
from zoo.train.step import Objective, Update, there_and_back

CPU = torch.device("cpu")


@pytest.fixture
def assemble(tiny):
    """assemble("train.clip=1", graph=True) -> state, update, batches, what was said."""

    def make(*overrides: str, graph: bool = True):
        recipe = tiny("train.warmup=0", *overrides)
        settings = section(recipe, "train")()
        state, said = State.start(recipe, settings, Ranks(CPU)), []
        update = Update(Objective(recipe, state.backbone, settings.precision), settings,
                        Guard(settings.nonfinite, CPU), said.append)  # fmt: skip
        if graph:
            run = partial(there_and_back, update.objective, settings)
            update.graphed = Graphed(run, state.backbone, settings, state.ranks, said.append,
                                     recorder=Played(state.parameters))  # fmt: skip
        return state, update, Feed(recipe, settings, Ranks(CPU)).batches(0), said

    return make


def learned(state: State, update: Update, batches, updates: int = WARM + 4) -> dict[str, torch.Tensor]:
    """Loss by loss, and all that a checkpoint holds."""
    found = {}
    for k in range(updates):
        update(state, next(batches))
        found[f"loss {k}"] = torch.tensor(state.meter.read().get("loss", torch.nan))
    return found | {f"{f}:{n}": t.clone() for f, ts in state.files().items() for n, t in ts.items()}


@pytest.mark.parametrize(("settings", "graphs"), [
    ([], 1), (["train.micro_batch=2"], 2), (["train.micro_batch=4"], 2), (["train.batch=5", "train.micro_batch=2"], 3),
    (["train.clip=null", "train.ema=[]"], 1), (["train.recompute=block", "train.micro_batch=3"], 2),
    (["train.recompute=selective"], 1), (["train.precision=bf16", "train.micro_batch=3"], 2),
    (["train.precision=fp16"], 1),
])  # fmt: skip
def test_graphs_leave_every_bit_as_it_is(assemble, settings, graphs):
    state, update, batches, said = assemble(*settings)
    ours, plain = learned(state, update, batches), learned(*assemble(*settings, graph=False)[:3])
    assert same(ours, plain) and not said and len(update.graphed.graphs) == graphs


def test_gradients_of_a_graph_live_in_one_place(assemble):
    state, update, batches, _ = assemble()
    learned(state, update, batches)
    places = []
    for _ in range(2):
        update.gradients(state, next(batches))
        places.append([p.grad.data_ptr() for p in state.parameters if p.grad is not None])
        state.optimizer.zero_grad(set_to_none=True)
    assert places[0] == places[1]


def test_a_resumed_run_equals_one_that_never_stopped(tiny, tmp_path, stop_at, monkeypatch):
    plain = Graphed.__init__

    def played(self, run, backbone, *rest):
        plain(self, run, backbone, *rest, Played(backbone.parameters()))

    recipe = tiny("train.steps=16", "train.micro_batch=4")
    trained(recipe, tmp_path / "without")
    monkeypatch.setattr(Graphed, "__init__", played)
    trained(recipe, tmp_path / "whole")
    stop_at(9)
    assert "step 9" in trained(recipe, tmp_path / "parts")
    trained(recipe, tmp_path / "parts", resume=True)
    whole = tensors(tmp_path / "whole", 16)
    assert same(whole, tensors(tmp_path / "parts", 16)) and same(whole, tensors(tmp_path / "without", 16))
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts") == losses(tmp_path / "without")


def test_what_the_first_updates_did_not_meet_runs_as_usual(assemble):
    state, update, batches, said = assemble()
    learned(state, update, batches)
    short = next(batches).rows(slice(4))
    other, plain, _, _ = assemble(graph=False)
    for mine, theirs in zip(other.parameters, state.parameters):
        mine.data.copy_(theirs.data)
    other.step = state.step
    assert torch.equal(update.gradients(state, short), plain.gradients(other, short))
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(state.parameters, other.parameters) if a.grad is not None)
    assert len(update.graphed.graphs) == 1 and not said


def test_a_parameter_that_moved_is_not_missed(assemble):
    state, update, batches, _ = assemble()
    learned(state, update, batches)
    for parameter in state.parameters:
        parameter.data = parameter.data * 0.5
    batch = next(batches)
    loss = update.gradients(state, batch)
    update.graphed.refused = "asked to"
    state.optimizer.zero_grad(set_to_none=True)
    assert torch.equal(loss, update.gradients(state, batch))


def test_memory_that_ends_in_a_capture_halves_the_micro_batch(assemble):
    state, update, batches, said = assemble()
    update.graphed.recorder.errors = [torch.OutOfMemoryError("full")]
    learned(state, update, batches, updates=2 * WARM + 2)
    assert state.micro == 3 and len(update.graphed.graphs) == 2 and not said


def test_memory_behind_another_error_counts_too(assemble):
    state, update, batches, _ = assemble()
    broken = RuntimeError("the capture was invalidated")
    broken.__context__ = torch.OutOfMemoryError("full")
    update.graphed.recorder.errors = [broken]
    learned(state, update, batches)
    assert state.micro == 3


def test_a_micro_batch_given_by_the_recipe_does_without_a_graph_that_does_not_fit(assemble):
    state, update, batches, said = assemble("train.micro_batch=3")
    update.graphed.recorder.errors = [torch.OutOfMemoryError("full")]
    found = learned(state, update, batches)
    assert said == ["no CUDA graph: memory is not enough for one"] and state.micro == 3
    assert same(found, learned(*assemble("train.micro_batch=3", graph=False)[:3]))


def test_a_capture_that_fails_changes_nothing_and_is_not_tried_again(assemble):
    state, update, batches, said = assemble("train.micro_batch=3")
    update.graphed.recorder.errors = [RuntimeError("operation not permitted\nwhen stream is capturing")]
    found = learned(state, update, batches)
    assert said == ["no CUDA graph: operation not permitted"] and not update.graphed.graphs
    assert same(found, learned(*assemble("train.micro_batch=3", graph=False)[:3]))


def test_what_would_not_survive_a_capture_is_said(assemble):
    state, update, batches, said = assemble()
    update.graphed.recorder.found = ["mine.py, line 7, waits for the GPU"]
    learned(state, update, batches)
    assert said == ["no CUDA graph: mine.py, line 7, waits for the GPU"] and not update.graphed.graphs


def test_hooks_go_on_being_called(assemble):
    state, update, batches, said = assemble()
    called = []
    state.backbone.blocks[1].register_forward_hook(lambda *_: called.append(1))
    learned(state, update, batches, updates=WARM + 3)
    assert len(called) == WARM + 3 and said == ["no CUDA graph: blocks.1 has hooks"]


def test_who_insists_is_told_why_not(assemble, tiny):
    state, update, batches, _ = assemble("train.cuda_graph=true")
    update.graphed.recorder.found = ["the network draws random numbers"]
    with pytest.raises(RecipeError, match="random numbers"):
        learned(state, update, batches)
    settings = section(tiny("train.cuda_graph=true"), "train")()
    with pytest.raises(RecipeError, match="graphs need a CUDA device"):
        list(report.report(tiny(), settings, Ranks(CPU), DataError("not here")))
    sharded = section(tiny("train.cuda_graph=true", "train.parallel=fsdp"), "train")()
    with pytest.raises(RecipeError, match="travel between processes"):
        obstacle(sharded, Ranks(torch.device("cuda"), 0, 2))


@pytest.mark.parametrize(("setting", "device", "processes", "said"), [
    ("auto", "cuda", 1, ""), ("true", "cuda", 1, ""), ("false", "cuda", 1, "train.cuda_graph=false"),
    ("auto", "mps", 1, "graphs need a CUDA device"), ("true", "cuda", 4, ""),
    ("auto", "cuda", 4, ""),
])  # fmt: skip
def test_the_first_screen_says_how_kernels_are_launched(tiny, setting, device, processes, said):
    settings = section(tiny(f"train.cuda_graph={setting}"), "train")()
    assert obstacle(settings, Ranks(torch.device(device), 0, processes)) == said


@pytest.mark.parametrize("tight", [False, True])
def test_graphs_give_way_only_where_memory_is_tight(assemble, tight):
    state, update, batches, _ = assemble("train.micro_batch=4")
    found = learned(state, update, batches)
    update.graphed.recorder.tight = tight
    update.graphed.make_room()
    assert len(update.graphed.graphs) == (0 if tight else 2)
    found |= {f"later {name}": t for name, t in learned(state, update, batches).items()}
    plain, alone, same_batches, _ = assemble("train.micro_batch=4", graph=False)
    other = learned(plain, alone, same_batches)
    assert same(found, other | {f"later {n}": t for n, t in learned(plain, alone, same_batches).items()})
    assert len(update.graphed.graphs) == 2
