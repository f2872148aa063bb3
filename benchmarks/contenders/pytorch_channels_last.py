"""PyTorch with images and weights in its other memory format."""
import torch

from benchmarks.contenders import pytorch


def forward(case, threads):
    return pytorch.forward(case, threads, torch.channels_last)


def training(case, threads):
    return pytorch.training(case, threads, torch.channels_last)
