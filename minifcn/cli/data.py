"""Data sets as the command line names them."""
from __future__ import annotations

from collections.abc import Mapping

from minifcn.data import open_dataset

# What the arguments of data sets are when they are not given.
DEFAULTS = {"data": None, "count": 1000, "size": [96, 96], "year": 2012, "classes": None,
            "palette": None, "ignore": 255}


def open_data(dataset: str, split: str, given: Mapping):
    """Open a split of a data set; what ``given`` does not say has its default."""
    values = {name: default if given.get(name) is None else given[name]
              for name, default in DEFAULTS.items()}
    return open_dataset(dataset, values["data"], split, count=values["count"],
                        size=tuple(values["size"]), year=values["year"],
                        class_names=values["classes"], palette_file=values["palette"],
                        ignore=values["ignore"])
