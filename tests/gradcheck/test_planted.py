"""The checker checked: it notices bugs, names nine of ten, leaves right code alone.

A choice of them; ``make mutants`` tries them all.
"""
import pytest

from minifcn.gradcheck import check_module
from tests.gradcheck.planted import CAUSES, bank, examine
from tests.gradcheck.right_styles import MORE_STYLES, STYLES

BUGS = bank()
SOME = [bug for bug in BUGS if not bug.source][::8]      # of every operation a few


@pytest.fixture(scope="module")
def some_results():
    return [examine(bug) for bug in SOME]


def test_bank_holds_many_bugs_of_every_cause():
    assert len(BUGS) >= 100
    for cause in CAUSES:
        assert sum(cause in bug.causes for bug in BUGS) >= 2, cause


def test_bugs_are_noticed(some_results):
    assert [each.bug.name for each in some_results if not each.noticed] == []


def test_nine_of_ten_are_named_rightly(some_results):
    misnamed = [(each.bug.name, each.got) for each in some_results if not each.named]
    assert len(misnamed) <= len(some_results) / 10, misnamed


def test_a_failure_is_explained_in_words(some_results):
    assert all(len(each.diagnosis.split()) > 3 for each in some_results)


def test_only_the_spoilt_function_is_blamed(some_results):
    assert [(each.bug.name, each.blamed) for each in some_results if each.blamed] == []


@pytest.mark.parametrize("module", [
    *STYLES, *(pytest.param(each, marks=pytest.mark.slow) for each in MORE_STYLES)],
    ids=lambda module: module.__name__)
def test_right_code_in_another_style_raises_no_alarm(module):
    reports = check_module(module)
    assert {name: report.diagnosis for name, report in reports.items() if not report.ok} == {}
    assert set(reports) == {name for name in vars(module) if not name.startswith("__")}
