"""Every page, read from the top as a student does: no answer stands before its question."""
import json
import re

import pytest

from minifcn.teaching.questions.asking import TABLE, shown
from tests.notebooks import pages

PAGES = sorted(pages.TUTORIALS.glob("[0-9][0-9]_*.ipynb"))
CELLS = 30
PREDICTIONS = 3

pytestmark = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)


def text_cells(cells):
    return [cell for cell in cells if cell["cell_type"] == "markdown"]


def folded(cell):
    return "answer" in pages.tags(cell)


def distinctive(answer) -> str | None:
    """An answer that nobody writes by chance; None for one of a single digit, yes, no."""
    text = shown(answer)
    return text if len(re.sub(r"\D", "", text).strip("0")) > 1 else None


def says(text: str, answer: str) -> bool:
    """Whether a text holds an answer, as a word or number of its own."""
    return re.search(rf"(?<![\w.,-]){re.escape(answer)}(?![\w]|[.,]\d)", text) is not None


def test_it_is_a_page_that_can_be_committed(page):
    assert page.stat().st_size <= 1_500_000
    assert len(pages.read(page)) <= CELLS
    for cell in pages.read(page):
        if cell["cell_type"] == "markdown":
            assert cell["metadata"].get("lang") == "en", pages.source(cell)
        else:
            assert cell["execution_count"], f"never ran: {pages.source(cell)}"
            assert pages.problems_of_images(cell) == []
            assert not any(output.get("name") == "stderr" or output["output_type"] == "error"
                           for output in cell["outputs"])


def test_answers_are_folded(page):
    for cell in pages.read(page):
        if folded(cell):
            assert cell["metadata"]["jupyter"] == {"source_hidden": True, "outputs_hidden": True}
            assert "hide-cell" in pages.tags(cell)
        assert ("reveal" in pages.source(cell) and bool(pages.asked(cell))) <= folded(cell)


def test_questions_come_first_and_unanswered(page):
    cells = pages.read(page)
    questions = [(place, name) for place, cell in enumerate(cells)
                 if "question" in pages.tags(cell) for name in pages.asked(cell)]
    assert len({name for _, name in questions}) >= PREDICTIONS
    for place, name in questions:
        assert name in TABLE
        assert f'question("{name}", None)' in pages.source(cells[place])
        answers = [later for later in range(place, len(cells))
                   if folded(cells[later]) and name in pages.asked(cells[later])]
        assert answers, f"no folded cell answers {name}"


def test_nothing_tells_an_answer_before_it_is_asked(page):
    cells = pages.read(page)
    for place, cell in enumerate(cells):
        if not folded(cell):
            continue
        for name in pages.asked(cell):
            question = TABLE[name].compute()
            answer = distinctive(question.answer)
            if answer is None or says(question.text, answer):
                continue
            for earlier in cells[:place]:
                if folded(earlier):
                    continue
                text = pages.source(earlier) + "\n" + pages.output_text(earlier)
                assert not says(text, answer), f"{name} is told before it is answered: {text}"


def test_every_number_in_the_text_is_in_code_or_output(page):
    cells = pages.read(page)
    known = {number for cell in cells if cell["cell_type"] == "code"
             for number in pages.numbers(pages.source(cell) + "\n" + pages.output_text(cell))}
    for cell in text_cells(cells):
        for number in pages.numbers(pages.prose(cell)):
            assert len(number) < 2 or number in known, \
                f"{number} is nowhere computed: {pages.source(cell)}"


def test_it_ends_with_what_you_can_now_do(page):
    assert "What you can now do" in pages.source(text_cells(pages.read(page))[-1])


def test_links_between_pages_lead_somewhere(page):
    for cell in text_cells(pages.read(page)):
        for target in re.findall(r"\]\(([^)#]+\.(?:ipynb|md|py|png))", pages.source(cell)):
            if "://" not in target:
                assert (page.parent / target).exists() or later(target), target


def later(target: str) -> bool:
    """A page of this series that is not written yet may be linked from those that are."""
    return re.fullmatch(r"(0[1-9]|1[01])_[a-z_0-9]+\.ipynb", target) is not None


def test_it_is_valid_json_of_format_4(page):
    assert json.loads(page.read_text(encoding="utf-8"))["nbformat"] == 4
