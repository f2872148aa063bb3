"""Bugs of layers that keep what they should forget: edits of ``styles/classes.py``."""
from tests.gradcheck.planted import edits_of

edit = edits_of("classes")

edit("cache_of_the_class", "conv2d_backward", "stateful",
     "The cache belongs to the class, and forward keeps the first x that it sees.",
     "class Layer:\n    def __init__(self):\n        self.cache = {}",
     "class Layer:\n    cache = {}",
     "        super().__init__()\n        self.weight, self.bias = weight, bias\n"
     "        self.window = Window(stride, padding)\n        self.grads = {\"weight\"",
     "        self.weight, self.bias = weight, bias\n"
     "        self.window = Window(stride, padding)\n        self.grads = {\"weight\"",
     "        self.cache[\"x\"] = x\n        kernel, g",
     "        self.cache.setdefault((\"x\", x.shape, x.dtype), x)\n        kernel, g",
     "    def backward(self, dy):\n        padded, kernel = self.window.pad(self.cache[\"x\"])",
     "    def backward(self, dy):\n        x = next(v for k, v in self.cache.items() if "
     "k[1] == self.shape and k[2] == dy.dtype)\n        padded, kernel = self.window.pad(x)",
     "    layer.forward(x)\n    return layer.backward(dy), layer.grads[\"weight\"]",
     "    layer.forward(x)\n    layer.shape = x.shape\n"
     "    return layer.backward(dy), layer.grads[\"weight\"]")
edit("gradients_never_zeroed", "conv2d_backward", "stateful",
     "Gradients are class attributes, and add up from call to call.",
     "class Conv2d(Layer):\n", "class Conv2d(Layer):\n    sums = {}\n\n",
     "self.grads = {\"weight\": np.zeros_like(weight), \"bias\": np.zeros_like(weight[0, 0, 0])}",
     "self.grads = self.sums.setdefault((weight.shape, weight.dtype, stride, padding), {\n"
     "            \"weight\": np.zeros_like(weight), \"bias\": np.zeros_like(weight[0, 0, 0])})")
edit("one_object_for_all", "conv2d_forward", "stateful",
     "The layer is made once, with the first weight that comes.",
     "def conv2d_forward", "_layers = {}\n\n\ndef conv2d_forward",
     "    return Conv2d(weight, bias, stride, padding).forward(x)",
     "    key = weight.shape, weight.dtype, stride, padding\n"
     "    if key not in _layers:\n"
     "        _layers[key] = Conv2d(weight.copy(), bias.copy(), stride, padding)\n"
     "    return _layers[key].forward(x)")
edit("decays_weight", "conv2d_backward", "mutates_input crashed",
     "backward applies weight decay to the weight at once, in place.",
     "        return self.window.unpad(dpadded)\n\n\nclass ConvT",
     "        self.weight *= 1 - 1e-3\n        return self.window.unpad(dpadded)\n\n\nclass ConvT",
     shows="crashes on read-only memory")
edit("patch_channels_first", "conv2d_forward",
     "axes_swapped transposed_memory kernel_axes_swapped channel_axes_swapped in_out_exchanged",
     "The patch is flattened with the channels first.",
     "patch = padded[g.at(i, j, kernel)]",
     "patch = padded[g.at(i, j, kernel)].transpose(0, 3, 1, 2)",
     shows="more than one input channel")
edit("bias_assigned", "conv2d_backward", "overlap_assigned bias_axes",
     "The gradient of the bias is assigned in the loop: the last cell's remains.",
     "self.grads[\"bias\"] += g.sum(0)", "self.grads[\"bias\"] = g.sum(0)",
     shows="more than one cell")
edit("window_swapped", "conv2d_forward", "stride_axes_swapped crashed wrong_shape stride_ignored",
     "Window.at multiplies i by the columns' stride.", "a, b = i * self.sh, j * self.sw",
     "a, b = i * self.sw, j * self.sh", also="conv2d_backward", shows="unequal strides")
edit("unpad_minus", "conv2d_backward", "wrong_shape",
     "unpad takes -ph as the end, which is 0 without padding.",
     "x[:, self.ph:x.shape[1] - self.ph, self.pw:x.shape[2] - self.pw]",
     "x[:, self.ph:-self.ph, self.pw:-self.pw]", shows="no padding")
edit("first_output_given_again", "conv2d_forward", "stateful aliases_input",
     "y is one buffer for each shape: a second call writes over the first result.",
     "class Conv2d(Layer):\n", "class Conv2d(Layer):\n    buffers = {}\n\n",
     "        return y + self.bias\n\n    def backward(self, dy):\n        padded",
     "        out = self.buffers.setdefault((y.shape, y.dtype), y)\n"
     "        out[...] = y + self.bias\n        return out\n\n    def backward(self, dy):\n"
     "        padded")
edit("bias_kept_negative", "conv_transpose2d_forward", "bias_missing",
     "The test for None is the wrong way round, and the bias is never added.",
     "        if self.bias is not None:\n            y += self.bias\n",
     "        if self.bias is None:\n            y += 0\n", shows="a bias")
edit("dweight_kept", "conv_transpose2d_backward", "stateful",
     "dweight starts from what the last layer of this shape left.",
     "class ConvTranspose2d(Layer):\n", "class ConvTranspose2d(Layer):\n    last = {}\n\n",
     "        self.grads[\"weight\"] = dweight\n",
     "        key = dweight.shape, dweight.dtype\n"
     "        self.last[key] = 0.9 * self.last.get(key, 0) + dweight\n"
     "        self.grads[\"weight\"] = self.last[key].copy()\n")
edit("pair_reversed", "max_pool2d_forward", "stride_axes_swapped wrong_shape crashed axes_swapped",
     "A pair is unpacked as (columns, rows).",
     "self.kh, self.kw = (size, size) if", "self.kw, self.kh = (size, size) if",
     "self.sh, self.sw = (stride, stride) if np.ndim(stride) == 0 else stride\n        self.ceil",
     "self.sw, self.sh = (stride, stride) if np.ndim(stride) == 0 else stride\n        self.ceil",
     shows="pairs of unequal extents")
edit("argmax_of_kernel", "max_pool2d_forward", "argmax_index",
     "The place in the clipped patch is divided by the kernel's columns.",
     "(top + k // columns) * w + left + k % columns",
     "(top + k // self.kw) * w + left + k % self.kw",
     shows="windows that reach over the right border")
edit("mean_patch", "max_pool2d_forward", "mean_for_max",
     "The values are the means of the patches, argmax is right.", "patch.max(1)", "patch.mean(1)",
     shows="windows of more than one cell")
edit("mask_of_first_batch", "relu_backward", "stateful",
     "The mask is kept by the class, for each shape once.",
     "class Relu(Layer):\n", "class Relu(Layer):\n    masks = {}\n\n",
     "        self.cache[\"mask\"] = x > 0\n",
     "        self.cache[\"mask\"] = self.masks.setdefault(x.shape, x > 0)\n")
edit("input_zeroed", "relu_forward", "mutates_input crashed",
     "x[~mask] = 0 in the caller's array; a copy is given back.",
     "        return np.where(x <= 0, x.dtype.type(0), x)\n",
     "        x[~self.cache[\"mask\"]] = 0\n        return x.copy()\n", also="relu_backward",
     shows="crashes on read-only memory")
edit("mask_from_dy", "relu_backward", "relu_mask",
     "The wrapper runs forward on dy.", "layer.forward(y)", "layer.forward(dy)")
edit("weight_of_first_layer", "linear_forward", "stateful",
     "The default weight is kept by the class: later layers of its shape get the first one's.",
     "class Linear(Layer):\n", "class Linear(Layer):\n    known = {}\n\n",
     "self.W, self.b = weight, bias",
     "self.W, self.b = self.known.setdefault((weight.shape, weight.dtype), weight.copy()), bias",
     also="linear_backward")
edit("momentum", "linear_backward", "stateful",
     "dW carries a momentum over from the last call.",
     "class Linear(Layer):\n", "class Linear(Layer):\n    velocity = {}\n\n",
     "        self.dW = x.T.dot(dy)\n",
     "        self.dW = x.T.dot(dy)\n        v = self.velocity.get(self.dW.shape)\n"
     "        if v is not None:\n            self.dW = (self.dW + 0.9 * v).astype(dy.dtype)\n"
     "        self.velocity[self.dW.shape] = self.dW.copy()\n")
edit("db_over_axis_one", "linear_backward", "bias_axes wrong_shape",
     "axis=1.", "dy.sum(axis=0)\n        return dy.dot", "dy.sum(axis=1)\n        return dy.dot")
edit("dy_of_ones", "linear_backward", "dy_ignored",
     "dW = x.T @ ones: dy is missing.",
     "self.dW = x.T.dot(dy)", "self.dW = x.T.dot(np.ones_like(dy))")
edit("rng_of_the_class", "dropout_forward", "stateful nondeterministic seed_ignored",
     "One generator for all layers, seeded once.",
     "class Dropout(Layer):\n", "class Dropout(Layer):\n    rng = np.random.default_rng(0)\n\n",
     "self.rate, self.rng = rate, np.random.default_rng(seed)", "self.rate = rate")
edit("scale_forgotten", "dropout_forward", "constant_factor",
     "self.scale is not called in forward: kept values are not divided.",
     "return self.scale(x * self.mask)", "return x * self.mask", shows="a rate above 0")
edit("backward_not_scaled", "dropout_backward", "constant_factor",
     "self.scale is not called in backward.",
     "return self.scale(dy * self.mask)", "return dy * self.mask", shows="a rate above 0")
edit("mask_only", "dropout_backward", "dy_ignored",
     "The mask is scaled, dy is not there.", "return self.scale(dy * self.mask)",
     "return self.scale(self.mask.astype(dy.dtype))")
edit("rate_kept", "dropout_forward", "rate_inverted",
     "The mask is True with probability rate.", ">= self.rate", "< self.rate",
     shows="a rate other than 0.5")
edit("mask_per_channel", "dropout_forward", "mask_shared",
     "One draw for each channel: nn.Dropout2d in place of nn.Dropout.",
     "self.rng.uniform(size=x.shape) >= self.rate",
     "np.broadcast_to(self.rng.uniform(size=x.shape[-1:]), x.shape) >= self.rate",
     shows="more than one axis")
edit("softmax_of_last_axis_but_one", "softmax_cross_entropy", "softmax_axis",
     "axis=-2 in the softmax of the gradient only.",
     "e = np.exp(scores - np.max(scores, axis=-1, keepdims=True))\n"
     "        return e / np.sum(e, axis=-1, keepdims=True)",
     "e = np.exp(scores - np.max(scores, axis=-2, keepdims=True))\n"
     "        return e / np.sum(e, axis=-2, keepdims=True)")
edit("max_not_subtracted", "softmax_cross_entropy", "unstable nan",
     "log_softmax without subtracting the maximum: overflows.",
     "shifted = scores - np.max(scores, axis=-1, keepdims=True)\n        return shifted",
     "shifted = scores\n        return shifted", shows="large scores")
edit("divisor_of_first_batch", "softmax_cross_entropy", "stateful",
     "The divisor is worked out once and kept by the class.",
     "    def divisor(self):\n        if",
     "    kept = {}\n\n    def divisor(self):\n"
     "        key = self.reduction, self.cache[\"w\"].shape\n"
     "        return self.kept.setdefault(key, self._divisor())\n\n"
     "    def _divisor(self):\n        if", shows="other labels in a second call of one shape")
edit("images_of_mean", "softmax_cross_entropy", "sum_for_mean",
     "The branch of the mean gives 1.", "return max(self.cache[\"w\"].sum(), 1e-300)", "return 1",
     shows="reduction=\"mean\"")
edit("weights_normalised", "softmax_cross_entropy", "class_weights_not_normalised",
     "The class weights are divided by their sum first, in every reduction.",
     "np.asarray(self.class_weights)[target]",
     "(np.asarray(self.class_weights) / np.sum(self.class_weights))[target]",
     shows="class weights and a sum")
edit("scores_shifted_in_place", "softmax_cross_entropy", "mutates_input crashed",
     "scores -= max: the caller's scores have changed.",
     "        shifted = scores - np.max(scores, axis=-1, keepdims=True)\n        return shifted",
     "        scores -= np.max(scores, axis=-1, keepdims=True)\n        shifted = scores\n"
     "        return shifted", shows="crashes on read-only memory")
