"""Samples of any sizes become one batch, padded with what neither trains nor scores."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minifcn import Preprocessing
from minifcn.data import Sample, make_batch

sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))


def sample(size, seed=0):
    rng = np.random.default_rng(seed)
    return Sample(rng.integers(0, 256, (*size, 3)).astype(np.uint8),
                  rng.integers(0, 5, size).astype(np.uint8), f"sample {seed}")


@settings(deadline=None)
@given(st.lists(sizes, min_size=1, max_size=5), st.sampled_from([255, 11, -1]),
       st.sampled_from(["float32", "float64"]),
       st.sampled_from([Preprocessing.imagenet(), Preprocessing.caffe()]))
def test_a_batch_holds_each_sample_and_pads_the_rest(extents, ignore, dtype, preprocessing):
    samples = [sample(size, seed) for seed, size in enumerate(extents)]
    x, labels = make_batch(samples, preprocessing, ignore, dtype)
    h, w = np.max(extents, axis=0)
    assert x.shape == (len(samples), h, w, 3) and x.dtype == dtype
    assert labels.shape == (len(samples), h, w) and labels.dtype.kind == "i"
    for i, (image, own, _) in enumerate(samples):
        rows, columns = own.shape
        np.testing.assert_array_equal(x[i, :rows, :columns], preprocessing.apply(image, dtype))
        np.testing.assert_array_equal(labels[i, :rows, :columns], own)
        assert not x[i, rows:].any() and not x[i, :, columns:].any()
        assert (labels[i, rows:] == ignore).all() and (labels[i, :, columns:] == ignore).all()


def test_what_is_no_batch():
    preprocessing = Preprocessing.imagenet()
    with pytest.raises(ValueError, match="at least one sample"):
        make_batch([], preprocessing)
    image, labels, _ = sample((4, 5))
    with pytest.raises(ValueError, match=r"street.*\(4, 5, 3\).*\(3, 5\)"):
        make_batch([Sample(image, labels[:3], "street")], preprocessing)
    with pytest.raises(ValueError, match=r"street has dtype float64"):
        make_batch([Sample(image / 255, labels, "street")], preprocessing)
