"""What notebooks show: small, self-contained, without script, and safe against hostile names."""
from html.parser import HTMLParser

import numpy as np
import pytest

import minifcn
from minifcn import gradcheck
from minifcn.data import Shapes
from minifcn.data.paired import Legend, Sample
from minifcn.models.geometry import plan
from minifcn.training.metrics import Metrics

HOSTILE = '<script>alert("1")</script>&'
CLOSED = {"img", "rect", "path"}


class Page(HTMLParser):
    """Tags, their attributes and the text; unclosed or wrongly closed tags are refused."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.words, self.stack = [], [], [], []
        self.feed(html)
        assert not self.stack, self.stack

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attributes]
        if tag not in CLOSED:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(self.words)


def hostile_model():
    model = minifcn.FCN(8, 3, width=0.03, fc_channels=4)
    model.class_names = [HOSTILE, "b", "c"]
    return model


def hostile_data():
    data = Shapes(6, (40, 60))
    data.class_names[0] = HOSTILE
    return data


def check(forward, backward):
    report = gradcheck.check(forward, backward, [np.arange(1.0, 13).reshape(1, 2, 2, 3)],
                             strict=False)
    report.name = HOSTILE
    return report


def things():
    model, data = hostile_model(), hostile_data()
    confusion = np.arange(9).reshape(3, 3)
    return {"model": model, "classifier": minifcn.VGG16(5, width=0.03),
            "summary": model.summary(90, 120), "data": data, "sample": data[0],
            "copy": minifcn.FCN(8, 3, width=0.03, fc_channels=4).copy_from(model),
            "plan": plan(500, 8, "caffe"),
            "right layer": check(lambda x: 2 * x, lambda dy, x: 2 * dy),
            "wrong layer": check(lambda x: x**2, lambda dy, x: dy * x),
            "metrics": Metrics.from_confusion(confusion, (HOSTILE, "b", "c"))}


@pytest.mark.parametrize("name", things())
def test_a_thing_shows_itself(name):
    thing = things()[name]
    page = Page(thing._repr_html_())
    assert not {"script", "style", "link", "iframe"} & set(page.tags)
    assert not any(attribute.startswith("on") for _, attribute, _ in page.attributes)
    sources = [value for _, attribute, value in page.attributes if attribute in ("src", "href")]
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert page.tags.count("img") == sum(1 for tag, key, value in page.attributes
                                         if (tag, key) == ("img", "alt") and value)
    assert len(thing._repr_html_()) < 100_000
    assert 1 <= len(repr(thing).splitlines()) <= 2 and "object at 0x" not in repr(thing)
    assert "<script" not in thing._repr_html_()
    colours = [value for _, key, value in page.attributes if key == "style"
               and ("background:#fff" in value or "color:#000" in value)]
    assert not colours      # those of the page, light or dark


def test_the_drawing_has_the_sizes_of_the_network():
    text = Page(minifcn.FCN(16, 7, width=0.25, seed=None)._repr_html_()).text
    for part in ("pool4", "32 x 32", "128 ch.", "score_pool4: 32 x 32, 7 ch.", "upscore16",
                 "fc6", "1024 ch.", "500 x 500"):
        assert part in text
    assert "score_pool3" not in text and "score_pool" not in Page(
        minifcn.FCN(32, 2, width=0.03, seed=None)._repr_html_()).text


def test_data_shows_its_class_shares():
    class Halves(Shapes):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            sample.labels[:] = 1
            sample.labels[:10] = 255
            return sample

    text = " ".join(Page(Halves(30, (40, 40))._repr_html_()).text.split())
    assert "disc 75.00" in text and "ignored 25.00" in text and "cross 0.00" in text
    assert "the first 20" in text


def test_a_sample_shows_names_and_colours_of_its_data_set():
    sample = Shapes(3, (40, 40))[0]
    html = sample._repr_html_()
    for label in np.unique(sample.labels):
        assert Shapes().class_names[label] in html
        assert "rgb({},{},{})".format(*Shapes().palette[label]) in html
    image, labels, name = sample        # still a triple
    assert sample == Sample(image, labels, name).with_legend(Legend(["x"], labels, 255))
    bare = Sample(np.zeros((3, 2, 3), np.uint8), np.array([[0, 255], [2, 2], [2, 2]]), "bare")
    assert "class 2" in bare._repr_html_() and "ignored" in bare._repr_html_()


def test_metrics_of_absent_classes_are_dashes():
    metrics = Metrics.from_confusion(np.diag([3, 0]), ("here", "gone"))
    assert "gone" in metrics._repr_html_() and "nan" not in metrics._repr_html_().lower()
    assert metrics.to_dict()["classes"]["gone"] == {"pixels": 0, "accuracy": None, "iu": None}
