"""What `make bench` keeps: the newest ratio of each line, with the machine that it was measured on."""

from __future__ import annotations

from benchmarks.pairs import Claim, Ratio, ratio_of
from benchmarks.results import added_to, markdown, within
from benchmarks.rounds.predicting import rate_said

from slotwise.pipelines.predict import Predicted, describe

HERE, THERE = {"processor": "fast", "cores": 2}, {"processor": "slow", "cores": 2}
ORDER = ("first", "second", "third")


def ratio(name: str, value: float) -> Ratio:
    return Ratio(name, value, value - 0.1, value + 0.1, 5, 1.0, value >= 1)


def test_a_line_takes_the_place_of_its_older_self_and_the_others_stay() -> None:
    kept = added_to([], [ratio("third", 0.5), ratio("first", 2.0)], THERE, ORDER)
    kept = added_to(kept, [ratio("second", 1.0), ratio("third", 3.0)], HERE, ORDER)
    assert [(line["name"], line["ratio"], line["met"], line["machine"]) for line in kept] == [("first", 2.0, True, THERE), ("second", 1.0, True, HERE), ("third", 3.0, True, HERE)]


def test_a_line_that_is_measured_no_more_goes() -> None:
    kept = added_to([], [ratio("first", 2.0), ratio("second", 1.0)], HERE, ORDER)
    assert [line["name"] for line in added_to(kept, [], HERE, ["second"])] == ["second"]


def test_the_table_says_on_which_machine_each_line_was_measured() -> None:
    kept = added_to([], [ratio("first", 2.0), ratio("third", 0.5)], THERE, ORDER)
    # Cells are padded to the width of their column.
    rows = [" ".join(row.split()) for row in markdown(added_to(kept, [ratio("second", 1.0)], HERE, ORDER)).splitlines()]
    assert "| first | 2.00 | 1.90 to 2.10 | 5 | 1.00 | yes | A |" in rows
    assert "| second | 1.00 | 0.90 to 1.10 | 5 | 1.00 | yes | B |" in rows
    assert "| third | 0.50 | 0.40 to 0.60 | 5 | 1.00 | no | A |" in rows
    assert rows[-2:] == ["- A: processor slow, cores 2", "- B: processor fast, cores 2"]


def test_a_line_that_explains_another_has_no_goal_and_is_neither_met_nor_missed() -> None:
    turns = [{"slots": 9.0, "peer": 10.0, "other peer": 5.0}, {"slots": 6.0, "peer": 5.0, "other peer": 4.0}, {"slots": 8.0, "peer": 10.0, "other peer": 2.0}]
    bound = ratio_of(Claim("bound", None, "slots", ("peer", "other peer")), turns)
    assert (bound.ratio, bound.low, bound.high, bound.met) == (0.9, 0.8, 1.2, None)
    assert ratio_of(Claim("line", 1.0, "slots", ("peer",)), turns).met is False
    rows = [" ".join(row.split()) for row in markdown(added_to([], [bound], HERE, ["bound"])).splitlines()]
    assert "| bound | 0.90 | 0.80 to 1.20 | 3 | – | – | A |" in rows


def test_the_readme_changes_between_its_marks_only() -> None:
    readme = "before\n<!-- make bench -->\nold\n<!-- end of make bench -->\nafter\n"
    assert within(readme, "new\n") == readme.replace("old", "new")


def test_the_rate_of_predict_is_that_of_all_images_not_of_its_progress() -> None:
    progress = "predict 0/60,000, 0 good, 0 failed, 0 images/s\npredict 30,000/60,000, 30,000 good, 0 failed, 1,500 images/s\n"
    assert rate_said(progress + describe(Predicted(60_000, {}, seconds=30.0, model_seconds=20.0), "file:///predictions")) == 2000
