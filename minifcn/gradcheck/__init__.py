"""Gradient checks that notice every bug and name it. Works on any NumPy code."""

from minifcn.gradcheck.checking import check
from minifcn.gradcheck.differences import (
    Tolerance,
    complex_step_gradient,
    numerical_gradient,
    sweep,
)
from minifcn.gradcheck.module import check_function, check_module
from minifcn.gradcheck.objects import check_adjoint, check_layer, check_model
from minifcn.gradcheck.report import GradientError, Report

__all__ = [
    "GradientError",
    "Report",
    "Tolerance",
    "check",
    "check_adjoint",
    "check_function",
    "check_layer",
    "check_model",
    "check_module",
    "complex_step_gradient",
    "numerical_gradient",
    "sweep",
]
