"""minifcn with its reference engine."""
from benchmarks.contenders import fast


def forward(case, threads):
    return fast.forward(case, threads, "reference")


def training(case, threads):
    return fast.training(case, threads, "reference")
