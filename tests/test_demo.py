"""The demo: its files, and what it is there to show."""
from dataclasses import replace

import pytest
from PIL import Image

import minifcn
from minifcn import demo as module
from minifcn.data import Shapes


def test_the_demo_leaves_pictures_and_a_checkpoint(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "BASE", replace(module.BASE, steps=2))
    monkeypatch.setattr(module, "STAGES", [replace(stage, steps=2) for stage in module.STAGES])
    monkeypatch.setattr(module, "TRAINING", 12)
    monkeypatch.setattr(module, "HELD_OUT", 4)
    metrics = module.demo(tmp_path / "demo", quiet=True)
    assert set(metrics) == {8, 16, 32}
    text = capsys.readouterr().out
    assert "all-background baseline" in text and "FCN-32s" in text
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == [
        "curves.png", module.CHECKPOINT, "panel.png"]
    with Image.open(tmp_path / "demo" / "panel.png") as panel:
        assert panel.width > 6 * 96
    model = minifcn.load(tmp_path / "demo" / module.CHECKPOINT)
    scene = Shapes(1, (50, 70), 7)[0]
    assert model.stride == 8 and model.class_names == Shapes().class_names
    assert model.predict(scene.image).shape == (50, 70)


def test_the_demo_gives_the_same_bits_twice(monkeypatch):
    monkeypatch.setattr(module, "BASE", replace(module.BASE, steps=3))
    monkeypatch.setattr(module, "STAGES", [replace(stage, steps=2) for stage in module.STAGES])
    monkeypatch.setattr(module, "TRAINING", 12)
    first, second = (module.train_all(seed=1, quiet=True) for _ in range(2))
    for stride, trained in first.items():
        assert len(trained.losses) == 7 and trained.losses == second[stride].losses
        for name, weight in trained.model.parameters.items():
            assert (weight == second[stride].model.parameters[name]).all()


@pytest.mark.slow
def test_finer_strides_are_better_by_a_clear_margin(tmp_path):
    metrics = module.demo(tmp_path, quiet=True)
    assert metrics[16].mean_iu > metrics[32].mean_iu + 0.05
    assert metrics[8].mean_iu > metrics[16].mean_iu + 0.03
