"""Pictures for people: overlays, panels, training curves, confusion matrices; all small PNGs.

Matplotlib is imported when something is drawn, not before, and never through pyplot.
"""
from minifcn.plotting.confusion import confusion_figure, write_confusion
from minifcn.plotting.curves import draw_curves, loss_figure, run_figure, write_losses
from minifcn.plotting.overlays import overlay, write_overlay
from minifcn.plotting.panels import panel, write_panel

__all__ = [
    "confusion_figure", "draw_curves", "loss_figure", "overlay", "panel", "run_figure",
    "write_confusion", "write_losses", "write_overlay", "write_panel",
]
