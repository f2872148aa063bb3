"""Options that go together, for ``minifcn train --recipe NAME``; what else is given wins."""
from __future__ import annotations

AUGMENTED = {"flip": 0.5, "scale": [0.75, 1.5], "colour": 0.2}
RECIPES: dict[str, dict[str, object]] = {
    # some dozens of labelled photos: much augmentation, an end when nothing gets better
    "folder": {"width": 0.25, "fc_channels": 512, "batch": 4, "crop": [256, 256], "epochs": 200.0,
               "patience": 20, **AUGMENTED},
    # generated street scenes of 120 x 160 pixels
    "streets": {"width": 0.25, "fc_channels": 256, "batch": 4, "rate": 2e-3, "epochs": 8.0,
                "class_weights": "median", "flip": 0.5},
    # 360 x 480 pixels: mean IU 60 on val after 38 minutes on two threads
    "camvid": {"width": 0.25, "fc_channels": 512, "batch": 4, "crop": [240, 320], "rate": 1e-3,
               "steps": 6500, "evaluate_every": 1300, **AUGMENTED},
}
