"""Questions: each with the right answer, every foreseen wrong one, nonsense, and no guess."""
import importlib
import math
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import minifcn
from minifcn.teaching import question
from minifcn.teaching.questions import names
from minifcn.teaching.questions.asking import TABLE, Question, asks, same, shown
from minifcn.teaching.questions.beliefs import BELIEFS

NONSENSE = [object(), "banana", [], {}, [[1], [2, 3]], [None], 3 + 4j, {1, 2}, b"19", float("-inf"),
            np.zeros((2, 2)), [1.0, "two"], True]


@pytest.fixture(scope="module")
def computed() -> dict[str, Question]:
    """Every question, computed once."""
    return {name: entry.compute() for name, entry in TABLE.items()}


def rounded(answer):
    """An answer as somebody types it who keeps four digits."""
    if isinstance(answer, float) and math.isfinite(answer):
        return float(f"{answer:.4g}")
    return [rounded(each) for each in answer] if isinstance(answer, list) else answer


@pytest.mark.parametrize("name", names())
def test_a_question_asks_and_judges(name, computed):
    asked = computed[name]
    unanswered = question(name)
    assert unanswered.right is None
    assert asked.text in repr(unanswered) and asked.hint in repr(unanswered)
    assert asked.derivation not in repr(unanswered)

    right = question(name, asked.answer)
    assert right.right is True and shown(asked.answer) in repr(right)
    assert question(name, rounded(asked.answer)).right is True

    for wrong in asked.wrong:
        reply = question(name, wrong.value)
        assert reply.right is False, wrong
        assert wrong.because in repr(reply) and asked.look in repr(reply)
        assert f"Right: {shown(asked.answer)}" not in repr(reply)


@pytest.mark.parametrize("name", names())
def test_nonsense_is_answered_with_a_sentence(name, computed):
    foreseen = [wrong.value for wrong in computed[name].wrong]
    for guess in NONSENSE:
        if computed[name].words and guess is True:
            continue        # means yes
        if any(same(guess, value) for value in foreseen):
            continue
        reply = question(name, guess)
        assert reply.right is None, (guess, reply)
        assert "the guess should be" in repr(reply)


@pytest.mark.parametrize("name", names())
def test_hints_grow_and_reveal_tells_all(name, computed):
    asked = computed[name]
    assert asked.larger_hint in repr(question(name, hint=2))
    assert asked.hint != asked.larger_hint
    revealed = repr(question(name, reveal=True))
    assert shown(asked.answer) in revealed and asked.derivation in revealed


def test_every_question_has_wrong_answers_that_are_told_apart(computed):
    for name, asked in computed.items():
        assert asked.wrong, name
        values = [asked.answer, *(wrong.value for wrong in asked.wrong)]
        for i, first in enumerate(values):
            assert not any(same(first, other) for other in values[i + 1:]), (name, first)


def test_every_belief_is_exposed():
    exposed = {belief for entry in TABLE.values() for belief in entry.exposes}
    assert exposed == set(BELIEFS)
    assert len(TABLE) >= 50


def test_it_says_where_to_read_on(computed):
    root = Path(minifcn.__file__).parents[1]
    for name, asked in computed.items():
        for page in re.findall(r"why/([\w-]+)", asked.look):
            assert (root / "docs" / "why" / f"{page}.md").exists() or not (root / "docs").exists()
        for module in re.findall(r"minifcn/[\w/]+\.py", asked.look):
            assert (root / module).exists(), (name, module)


def test_html_is_safe_and_without_script(computed):
    for name in TABLE:
        html = question(name, reveal=True)._repr_html_()
        assert html.count("<div") == html.count("</div>")
        assert "<script" not in html and "`" not in html and "$" not in html
    assert "<b>" not in question("crop-32s", "<b>")._repr_html_()


def test_a_centred_crop_is_recognised():
    reply = question("crop-32s", 26)
    assert reply.right is False and "centred crop" in repr(reply)


def test_an_unforeseen_guess_gets_a_hint():
    reply = question("crop-32s", 25)
    assert reply.right is False
    assert question("crop-32s").parts[1] in reply.parts
    larger = question("crop-32s", 25, hint=2)
    assert question("crop-32s", hint=2).parts[1] in larger.parts


@pytest.mark.parametrize("guess", [19, 19.0, np.int64(19), np.float32(19), np.array(19),
                                   Fraction(19)])
def test_numbers_of_any_type_will_do(guess):
    assert question("crop-32s", guess).right is True


def test_shapes_may_be_lists_and_lists_may_be_arrays():
    assert question("conv-size", [1, 3, 4, 8]).right is True
    assert question("bilinear-line", np.array([0.25, 0.75, 0.75, 0.25], np.float32)).right is True


def test_words_in_any_case():
    for guess in ("No", " no. ", False, np.False_):
        assert question("fusion-order", guess).right is True
    assert question("fusion-order", "YES").right is False
    assert question("fusion-order", "perhaps").right is None
    assert question("fusion-order", 1).right is None


def test_an_almost_right_number_is_wrong():
    assert question("crop-32s", 19.01).right is False
    assert question("ln-classes", 3.03).right is False


def test_a_guess_of_the_wrong_length_says_so():
    assert "has 3 values, not 4" in repr(question("conv-size", (1, 3, 4)))
    assert "leave the quotes away" in repr(question("crop-32s", "19"))


def test_a_reveal_still_judges_the_guess():
    assert question("crop-32s", 19, reveal=True).right is True
    assert question("crop-32s", 26, reveal=True).right is False


@pytest.mark.parametrize("name, nearest", [("crop32", "crop-32s"), ("Crop-32S", "crop-32s"),
                                           ("ln_classes", "ln-classes")])
def test_an_unknown_name_is_offered_the_nearest(name, nearest):
    with pytest.raises(ValueError, match=f"did you mean '{nearest}'"):
        question(name)


@pytest.mark.parametrize("name", [None, 3, "", "?"])
def test_a_name_that_is_none_is_an_error_of_one_sentence(name):
    with pytest.raises(ValueError, match="there is no question"):
        question(name)


def test_a_hint_that_does_not_exist():
    with pytest.raises(ValueError, match="hint=2 for a larger one"):
        question("crop-32s", hint=3)


def test_two_questions_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two questions"):
        asks("crop-32s")(lambda: None)


def test_nothing_is_remembered():
    first = repr(question("crop-32s"))
    question("crop-32s", 26)
    question("crop-32s", reveal=True)
    assert repr(question("crop-32s")) == first


def test_the_answer_follows_the_code(monkeypatch):
    """Change the geometry, and the right answer changes with it."""
    from minifcn.models import geometry
    changed = {**geometry.GEOMETRIES, "caffe": geometry.Geometry(110, 0, False)}
    monkeypatch.setattr(geometry, "GEOMETRIES", changed)
    assert question("crop-32s", 29).right is True
    assert question("crop-32s", 19).right is False


def test_an_engine_with_a_bug_changes_no_answer(monkeypatch):
    engines = importlib.import_module("minifcn.ops.engines")        # ``ops.engines`` is a function
    monkeypatch.setattr(engines, "_registered", {})

    class Broken:
        @staticmethod
        def softmax_cross_entropy(scores, labels, **options):
            return 0.0, np.zeros_like(scores)

    minifcn.register_engine("broken", Broken)
    with minifcn.using("broken"):
        assert question("ln-classes", math.log(21)).right is True


def test_questions_are_reached_from_the_package():
    assert minifcn.teaching.question is question


def test_every_question_is_asked_somewhere_and_nothing_else_is():
    """In a notebook, a why page, or an exercise."""
    root = Path(minifcn.__file__).parent.parent
    pages = [*(root / "tutorials" / "sources").glob("*.py"), *(root / "docs" / "why").glob("*.md")]
    if not pages:
        pytest.skip("needs the checkout")
    asked = {name for page in pages for name in re.findall(
        r'question\(\s*"([\w-]+)"', page.read_text(encoding="utf-8"))}
    assert asked == set(names())
