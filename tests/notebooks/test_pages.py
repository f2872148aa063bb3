"""Every page, read from the top as a student does: no answer stands before its question."""
import re

import pytest

from tests.notebooks import pages

PAGES = sorted(pages.TUTORIALS.glob("[0-9][0-9]_*.ipynb"))
CELLS = 30
BYTES = 1_500_000
PREDICTIONS = 3

of_each_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)


@of_each_page
def test_it_can_be_committed(page):
    cells = pages.read(page)
    assert page.stat().st_size <= BYTES and len(cells) <= CELLS
    for cell in cells:
        if cell["cell_type"] == "markdown":
            assert cell["metadata"].get("lang") == "en", pages.source(cell)
        else:
            assert cell["execution_count"], f"never ran: {pages.source(cell)}"
            assert pages.problems_of_images(cell) == []
            assert not any(output.get("name") == "stderr" or output["output_type"] == "error"
                           for output in cell["outputs"])


@of_each_page
def test_answers_are_folded(page):
    for cell in pages.read(page):
        if pages.folded(cell):
            assert cell["metadata"]["jupyter"] == {"source_hidden": True, "outputs_hidden": True}
            assert "hide-cell" in pages.tags(cell)
        elif pages.asked(cell):
            assert "reveal" not in pages.source(cell)


@of_each_page
def test_questions_come_first_and_unanswered(page):
    cells = pages.read(page)
    asked = {name for cell in cells if "question" in pages.tags(cell) for name in pages.asked(cell)}
    assert len(asked) >= PREDICTIONS
    assert pages.unanswered(cells) == []


@of_each_page
def test_nothing_tells_an_answer_before_it_is_asked(page):
    assert pages.told_early(pages.read(page)) == []


@of_each_page
def test_every_number_in_the_text_is_in_code_or_output(page):
    assert pages.from_nowhere(pages.read(page)) == []


@of_each_page
def test_it_ends_with_what_you_can_now_do(page):
    texts = [cell for cell in pages.read(page) if cell["cell_type"] == "markdown"]
    assert "What you can now do" in pages.source(texts[-1])


@of_each_page
def test_links_between_pages_lead_somewhere(page):
    for cell in pages.read(page):
        if cell["cell_type"] == "markdown":
            for target in re.findall(r"\]\((?!\w+://)([^)#]+)", pages.source(cell)):
                assert (page.parent / target).exists(), target


@of_each_page
def test_its_first_cell_installs_minifcn_where_it_is_missing(page):
    assert pages.installation(page) == pages.installation(PAGES[0])
    assert "except ModuleNotFoundError" in pages.installation(page)


# -- the rules themselves -------------------------------------------------------------------------


def text(source):
    return {"cell_type": "markdown", "metadata": {"lang": "en"}, "source": source}


def code(source, printed="", tags=()):
    outputs = [{"output_type": "stream", "name": "stdout", "text": printed}] if printed else []
    return {"cell_type": "code", "metadata": {"tags": list(tags)}, "source": source,
            "outputs": outputs}


QUESTION = code('question("receptive-field", None)', tags=["question"])
ANSWER = code('question("receptive-field", reveal=True)', "Answer: 404", tags=["answer"])


def test_an_answer_above_its_fold_is_noticed():
    assert pages.told_early([text("It grows."), QUESTION, ANSWER, text("So it is 404.")]) == []
    for early in (text("Scores see 404 pixels."), code("size = 404"), code("f()", "404")):
        assert len(pages.told_early([early, QUESTION, ANSWER])) == 1
    assert pages.told_early([text("1404, 40.4 and x404"), QUESTION, ANSWER]) == []


def test_a_question_without_a_fold_is_noticed():
    assert pages.unanswered([QUESTION, ANSWER]) == []
    assert len(pages.unanswered([ANSWER, QUESTION])) == 1
    guessed = code('question("receptive-field", 404)', tags=["question"])
    assert len(pages.unanswered([guessed, ANSWER])) == 1


def test_a_number_from_nowhere_is_noticed():
    counted = code("print(n)", "102,760,448 weights, 3.50 s")
    assert pages.from_nowhere([text("102,760,448 weights in 3.5 seconds, 2 layers"), counted]) == []
    assert len(pages.from_nowhere([text("about 103 million"), counted])) == 1
    assert pages.from_nowhere([text("`99` and [link](77_x.ipynb)\n```\n88\n```"), counted]) == []


def test_an_image_without_words_is_noticed():
    def shows(**data):
        data = {key.replace("_", "/"): value for key, value in data.items()}
        return {"outputs": [{"output_type": "display_data", "data": data}]}

    assert pages.problems_of_images(shows(image_png="AAAA", text_html="<img alt='a map'>")) == []
    assert len(pages.problems_of_images(shows(image_png="AAAA"))) == 1
    assert len(pages.problems_of_images(shows(text_html="<p><img src='x'></p>"))) == 1
    assert len(pages.problems_of_images(shows(text_html="<img alt=' '>"))) == 1
