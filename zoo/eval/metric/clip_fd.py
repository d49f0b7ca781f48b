from __future__ import annotations

import torch

from zoo.eval.moments import frechet
from zoo.eval.tally import Tally
from zoo.registry import register


@register("metric", "clip_fd")
class ClipFrechetDistance:
    """Frechet distances of clips: of features of their frames, and of what changes from frame to frame.

    FrameFD does not see the order of frames, ChangeFD does. Neither is FVD, which is of features of I3D, a network
    for videos (Unterthiner et al. 2018, 1812.01717); no figure of a paper can be put beside them.

    Source: Heusel et al. 2017 (1706.08500), Eq. 6, for other features.
    """

    figures = {"FrameFD": "FrameFD-inception", "ChangeFD": "ChangeFD-inception"}
    moments, rows, compares = ("frames", "changes"), (), True

    def __call__(self, images: Tally, reference: Tally, device: torch.device) -> dict[str, float]:
        both = zip(self.figures, self.moments)
        return {figure: frechet(images.gaussian(stream), reference.gaussian(stream)) for figure, stream in both}
