"""Predictions that are checked: ``minifcn.teaching.question("crop-32s", guess)``.

The right answer comes from the code that the question is about, and so do the wrong answers that
people give; a wrong guess is answered with the belief behind it. ``asking`` has the few rules;
every other module is a topic. ``beliefs`` lists what people get wrong.
"""
from minifcn.teaching.questions import (  # noqa: F401   each fills the table
    convolution,
    geometry,
    gradients,
    loss,
    metrics,
    pooling,
    speed,
    upsampling,
)
from minifcn.teaching.questions.asking import Question, Reply, Wrong, asks, names, question

__all__ = ["Question", "Reply", "Wrong", "asks", "names", "question"]
