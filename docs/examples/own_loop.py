"""Backbone, process and sampler in a loop of your own: a small DiM on emoji flags."""

import torch

import zoo
from zoo.builder import build_process, section
from zoo.data.loader import batches
from zoo.diffusion.denoiser import Denoiser
from zoo.diffusion.noise import Noise
from zoo.sampling.picture import grid

STEPS, IMAGES = 20, 8

recipe = zoo.load_recipe("quickstart", ["backbone.width=64", "backbone.depth=3", "sampler.steps=6"])
backbone, process = zoo.build(recipe), build_process(recipe)
dataset = section(recipe, "data")(tuple(recipe["shape"][-2:]), "train")
optimizer = torch.optim.AdamW(backbone.parameters(), lr=1e-3)

for step, batch in zip(range(STEPS), batches(dataset, seed=0, batch=IMAGES, start=0)):
    t, noise = torch.rand(IMAGES), torch.randn_like(batch.images)
    noisy = process.perturb(batch.images, t, noise)
    prediction = backbone(noisy, process.network_time(t), batch.labels)
    loss = (prediction - process.target(batch.images, noise, t)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step} loss {loss.item():.3f}")

noise = Noise(seed=0, images=range(4))
labels = {"category": torch.tensor([0, 0, 1, 1])}
denoiser = Denoiser(backbone.eval(), process, labels, section(recipe, "guidance")())
images = section(recipe, "sampler")()(denoiser, noise.start(recipe["shape"]), noise=noise)
pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
grid(list(pixels)).save("own_loop.png")
