"""Options that go together, for ``minifcn train --recipe NAME``; what else is given wins."""
from __future__ import annotations

AUGMENTED = {"flip": 0.5, "scale": [0.75, 1.5], "colour": 0.2}
RECIPES: dict[str, dict[str, object]] = {
    # some dozens of labelled photos: much augmentation, an end when nothing gets better
    "folder": {"width": 0.25, "fc_channels": 512, "batch": 4, "crop": [256, 256], "epochs": 200.0,
               "patience": 20, **AUGMENTED},
    # generated street scenes, from half to more than their size: the packaged streets-8s
    "streets": {"count": 2000, "size": [180, 240], "crop": [120, 160], "scale": [0.6, 1.3],
                "flip": 0.5, "colour": 0.15, "width": 0.1875, "fc_channels": 64, "dropout": 0.0,
                "batch": 4, "rate": 3e-3, "class_weights": "root", "steps": 2400,
                "evaluate_every": 1200},
    # 360 x 480 pixels: mean IU 60 on val after 38 minutes on two threads
    "camvid": {"width": 0.25, "fc_channels": 512, "batch": 4, "crop": [240, 320], "rate": 1e-3,
               "steps": 6500, "evaluate_every": 1300, **AUGMENTED},
}
