# %% [markdown]
# # Rectified, and measured
#
# What is learnt: a layer, its slope, and how large its output is.

# %% minifcn="setup"
from minifcn.course import notebook

judge = notebook("tiny", globals())

# %% minifcn="given" id="imports"
import numpy as np

# %% [markdown]
# ## ReLU
#
# Negative values become 0.

# %% minifcn="solution" id="relu_forward"
def relu_forward(x):
    """x of any shape; returns y like x."""
    ### BEGIN SOLUTION
    y = np.maximum(x, np.zeros((), x.dtype))
    return y
    ### END SOLUTION

# %% minifcn="solution" id="relu_backward"
def relu_backward(dy, y):
    """dx like dy."""
    ### BEGIN SOLUTION
    passes = (y > 0).astype(dy.dtype)
    return dy * passes
    ### END SOLUTION

# %% minifcn="try" id="try-relu"
try:
    print(relu_forward(np.array([-1.0, 2.0])))
except NotImplementedError:
    print("relu_forward is still to be written")

# %% minifcn="test" part="relu"
judge("relu")

# %% minifcn="hidden" part="relu"
judge("relu", hidden=True)

# %% [markdown]
# ## Sizes

# %% minifcn="solution" id="output_size"
def output_size(size, kernel, stride, padding):
    ### BEGIN SOLUTION
    reach = size + 2 * padding - kernel
    return reach // stride + 1
    ### END SOLUTION

# %% minifcn="test" part="size"
judge("size")

# %% minifcn="hidden" part="size"
judge("size", hidden=True)

# %% [markdown]
# ## Slopes

# %% minifcn="solution" id="slope"
def slope(f, x, step=1e-5):
    ### BEGIN SOLUTION
    difference = f(x + step) - f(x - step)
    return difference / (2 * step)
    ### END SOLUTION

# %% minifcn="test" part="slope"
judge("slope")

# %% [markdown]
# ## In words
#
# Why is the slope at 0 taken to be 0?

# %% [markdown] minifcn="words" part="why"
# ### BEGIN SOLUTION
# Any value between 0 and 1 would do; 0 keeps dead units dead, and everyone has agreed on it.
# ### END SOLUTION
