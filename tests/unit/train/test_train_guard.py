"""Numbers that are not finite, and requests to stop."""

from __future__ import annotations

import signal

import pytest
import torch
from tiny_runs import losses, same, tensors, trained

from zoo.train.feed import Feed
from zoo.train.guard import NonFiniteError
from zoo.train.state import State
from zoo.train.step import Update
from zoo.train.stop import Stop


@pytest.fixture
def poison(monkeypatch):
    """poison(7): update 7 meets a picture with a NaN, and hands out the state."""
    def arm(step: int):
        seen = []
        plain, update = Feed.batches, Update.__call__

        def poisoned(self, start):
            for batch in plain(self, start):
                if batch.first == step * self.settings.batch:
                    batch.images[2] = torch.nan
                yield batch

        def watched(self, state: State, batch):
            nonlocal seen
            if state.step == step:
                seen += [[t.clone() for t in snapshot(state)], state]
            update(self, state, batch)

        monkeypatch.setattr(Feed, "batches", poisoned)
        monkeypatch.setattr(Update, "__call__", watched)
        return seen

    return arm


def snapshot(state: State) -> list[torch.Tensor]:
    optimizer = [t for p in state.backbone.parameters() for t in state.optimizer.state[p].values()]
    return [*(p.detach() for p in state.backbone.parameters()), *optimizer]


def test_a_nan_stops_the_run_and_is_explained(tiny, tmp_path, poison):
    poison(7)
    with pytest.raises(NonFiniteError) as error:
        trained(tiny("train.log_every=10", "train.save_every=5"), tmp_path)
    message = str(error.value)
    assert "update 7" in message and f"positions {7 * 6 + 2};" in message and "patch" in message
    assert "train.nonfinite=skip" in message
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-00000005"]


def test_a_nan_leaves_weights_and_optimizer_untouched(tiny, tmp_path, poison):
    seen = poison(7)
    with pytest.raises(NonFiniteError):
        trained(tiny("train.log_every=10"), tmp_path)
    before, state = seen
    assert state.step == 10
    assert all(map(torch.equal, before, snapshot(state)))


def test_skip_leaves_the_update_out_and_counts_it(tiny, tmp_path, poison):
    poison(7)
    trained(tiny("train.nonfinite=skip", "train.steps=10", "train.log_every=5"), tmp_path)
    assert [record.get("skipped", 0) for record in losses(tmp_path)] == [0, 1]
    assert all(torch.isfinite(t).all() for t in tensors(tmp_path, 10).values())


def test_weights_that_are_not_finite_are_named(tiny, tmp_path, monkeypatch):
    start = State.start.__func__
    monkeypatch.setattr(State, "start", classmethod(lambda cls, *given: with_inf(start(cls, *given))))
    with pytest.raises(NonFiniteError, match=r"the weights blocks\.1\.\S+ are not finite already"):
        trained(tiny(), tmp_path)


def with_inf(state: State) -> State:
    with torch.no_grad():
        next(state.backbone.blocks[1].parameters()).fill_(torch.inf)
    return state


def test_a_stop_is_a_flag_and_a_second_one_ends_the_process():
    with Stop() as stop:
        assert not stop
        signal.raise_signal(signal.SIGTERM)
        assert stop and stop.reason == "SIGTERM"
        with pytest.raises(SystemExit) as end:
            signal.raise_signal(signal.SIGTERM)
    assert end.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is not stop._hear


def test_the_time_limit_stops_and_saves(tiny, tmp_path):
    said = trained(tiny("train.steps=100000", "train.log_every=1000"), tmp_path, max_minutes=0.01)
    assert "time limit of 0.01 minutes" in said
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1


def test_a_stop_during_validation_and_preview_still_saves(tiny, tmp_path, monkeypatch):
    from zoo.train.validate import Validation

    plain = Validation.draw

    def interrupted(self, *arguments):
        signal.raise_signal(signal.SIGINT)
        return plain(self, *arguments)

    monkeypatch.setattr(Validation, "draw", interrupted)
    recipe = tiny("train.steps=8", "train.val_every=4", "train.micro_batch=2")
    assert "stopped by Ctrl-C at step 5" in trained(recipe, tmp_path)
    monkeypatch.undo()
    trained(recipe, tmp_path, resume=True)
    trained(tiny("train.steps=8", "train.micro_batch=2"), tmp_path / "whole")
    assert same(tensors(tmp_path, 8), tensors(tmp_path / "whole", 8))


def test_rollback_brings_back_the_last_checkpoint_and_goes_on_with_other_images(tiny, tmp_path, poison, capsys):
    poison(7)
    recipe = tiny("train.nonfinite=rollback", "train.steps=12", "train.log_every=5", "train.save_every=5")
    assert "finished 12" in trained(recipe, tmp_path)
    said = capsys.readouterr().out
    assert "update 7: " in said and "goes back to the weights of" in said and "step-00000005" in said
    assert all(torch.isfinite(t).all() for t in tensors(tmp_path, 12).values())
    steps = {name: t for name, t in tensors(tmp_path, 12).items() if name.startswith("optim:step/")}
    assert {int(t) for t in steps.values()} == {5 + 2}  # back at update 10 to what update 5 left; then two more


def test_rollback_without_a_newer_checkpoint_ends_the_run(tiny, tmp_path, poison):
    poison(3)
    with pytest.raises(NonFiniteError, match="update 3"):
        trained(tiny("train.nonfinite=rollback", "train.steps=12", "train.log_every=2"), tmp_path)
