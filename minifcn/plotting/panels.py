"""Samples in rows: image, truth, what each model predicts, and where the last one errs."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from minifcn.data.images import as_image, resize_labels
from minifcn.data.paired import Sample
from minifcn.plotting import pictures
from minifcn.plotting.pictures import GAP, INK, PAPER, TEXT

WIDTH = 1240                # pixels that the columns share
WIDEST, NARROWEST = 400, 150    # of a column
LINE = TEXT + 5


def panel(samples: Sequence[Sample], predictions: Mapping[str, Sequence[np.ndarray]],
          palette: np.ndarray, class_names: Sequence[str], ignore: int = 255) -> Image.Image:
    """Draw a row of pictures for each sample.

    Parameters
    ----------
    samples : sequence of Sample
        At least one; sizes may differ.
    predictions : mapping of str to sequence of integer (h, w)
        The title of a column, and a mask for each sample. Lines of a title after the first are set
        smaller: ``"FCN-8s\\nmean IU 61.3 %"``. The errors of the last column are drawn.
    palette : uint8 (classes, 3)
    class_names : list of str
    ignore : int
        Label of pixels that are not scored; grey stripes in truth and errors.

    Returns
    -------
    picture : Pillow image, at most about 1300 pixels wide

    Raises
    ------
    ValueError
        Numbers or sizes of samples and masks differ.
    """
    if not samples:
        raise ValueError("a panel needs at least one sample")
    for title, masks in predictions.items():
        if len(masks) != len(samples):
            raise ValueError(f"{len(samples)} samples, but {len(masks)} masks of {title!r}")
    truths = [np.where(sample.labels == ignore, -1, sample.labels.astype(int))
              for sample in samples]
    cell = int(np.clip(WIDTH // (len(predictions) + 3), NARROWEST, WIDEST))
    rows, wrong, scored = [], 0, 0
    for index, (sample, truth) in enumerate(zip(samples, truths)):
        masks = [np.asarray(column[index]) for column in predictions.values()]
        for mask in (truth, *masks):
            pictures.check_mask(mask, as_image(sample.image, sample.name), palette, class_names)
        size = pictures.fitted(truth.shape, (2 * cell, cell))
        rows.append([pictures.resized(sample.image, size),
                     *(pictures.coloured(resize_labels(mask, size), palette)
                       for mask in (truth, *masks))])
        if masks:
            rows[-1].append(_errors(sample.image, truth, masks[-1], size))
            scored += np.count_nonzero(truth >= 0)
            wrong += np.count_nonzero((truth >= 0) & (masks[-1] != truth))
    titles = ["image", "truth", *predictions]
    seen = [*truths, *(np.asarray(mask) for masks in predictions.values() for mask in masks)]
    entries = pictures.present(seen, palette, class_names)
    if predictions:
        last = titles[-1].split("\n")[0]
        share = f"{100 * wrong / scored:.1f} % of pixels" if scored else "no pixel is scored"
        titles.append(f"errors of {last}\n{share}")
        entries = [*entries, pictures.Entry("wrong", pictures.WRONG)]
    return _composed(titles, rows, entries, cell)


def write_panel(path: str | Path, samples: Sequence[Sample],
                predictions: Mapping[str, Sequence[np.ndarray]], palette: np.ndarray,
                class_names: Sequence[str], ignore: int = 255) -> None:
    """Write a `panel` as PNG of at most 300 kB, whole or not at all."""
    picture = panel(samples, predictions, palette, class_names, ignore)
    pictures.write_picture(path, picture, [*palette, pictures.WRONG])


def _errors(image: np.ndarray, truth: np.ndarray, mask: np.ndarray,
            size: tuple[int, int]) -> np.ndarray:
    """The faded image, red where the mask is wrong, striped where nothing is scored."""
    grey = pictures.resized(image, size).mean(axis=2, keepdims=True)
    picture = np.repeat(150 + 0.4 * grey, 3, axis=2).astype(np.uint8)
    verdict = np.where(truth < 0, -1, mask != truth)
    verdict = resize_labels(verdict, size)
    colours = pictures.coloured(np.where(verdict == 1, 0, verdict), np.array([pictures.WRONG]))
    return np.where((verdict != 0)[..., None], colours, picture)


def _composed(titles: Sequence[str], rows: Sequence[Sequence[np.ndarray]],
              entries: Sequence[pictures.Entry], cell: int) -> Image.Image:
    cell = max(NARROWEST, max(row[0].shape[1] for row in rows))
    width = GAP + len(titles) * (cell + GAP)
    head = GAP + LINE * max(title.count("\n") + 1 for title in titles)
    legend = pictures.legend(entries, width)
    height = head + sum(row[0].shape[0] + GAP for row in rows) + legend.height
    canvas = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(canvas)
    for column, title in enumerate(titles):
        centre = GAP + column * (cell + GAP) + cell / 2
        for number, line in enumerate(title.split("\n")):
            face = pictures.font(TEXT if number == 0 else TEXT - 2, bold=number == 0)
            text = pictures.shortened(line, cell, face)
            draw.text((centre, GAP + number * LINE), text, INK, face, anchor="mt")
    top = head
    for row in rows:
        for column, picture in enumerate(row):
            left = GAP + column * (cell + GAP) + (cell - picture.shape[1]) // 2
            canvas.paste(Image.fromarray(np.ascontiguousarray(picture)), (left, top))
        top += row[0].shape[0] + GAP
    canvas.paste(legend, (0, top))
    return canvas
