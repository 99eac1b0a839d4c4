"""Comparing runs: the arithmetic against numbers worked out by hand, refusals by name, and the files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records import run_record, write_run
from slotwise import compare, storage
from slotwise.compare import statistics, table
from slotwise.compare.table import Run
from slotwise.contracts.comparison import ComparisonRow
from slotwise.contracts.paths import ComparisonPaths
from slotwise.contracts.run import Position, RunRecord
from slotwise.errors import DataError, UsageError

FROZEN = ["model", "engine", "slots", "repeats", "accuracy_mean", "accuracy_std", "loss_mean", "seconds_mean", "images_per_second", "speedup", "efficiency", "accuracy_difference_points"]


def runs_of(*records: RunRecord) -> list[Run]:
    return [Run(f"file:///runs/{index}", record) for index, record in enumerate(records)]


def rows_of(*records: RunRecord) -> dict[tuple[str, int], ComparisonRow]:
    return {(row.engine, row.slots): row for row in table.rows(runs_of(*records))}


def repeats(slots: int, accuracies: list[float], seconds: list[float], **fields: object) -> list[RunRecord]:
    seeds = range(7, 7 + len(accuracies))
    return [
        run_record(slots=slots, settings={"seed": seed}, test_accuracy=accuracy, train_seconds=time, **fields)
        for seed, accuracy, time in zip(seeds, accuracies, seconds, strict=True)
    ]


def test_rows_by_hand() -> None:
    rows = rows_of(*repeats(1, [0.70, 0.72, 0.74], [100, 104, 96]), *repeats(2, [0.71, 0.72, 0.75], [50, 54, 52]))
    one, two = rows["tensorflow", 1], rows["tensorflow", 2]
    assert (one.repeats, two.repeats) == (3, 3)
    assert one.accuracy_mean == pytest.approx(0.72)
    assert one.accuracy_std == pytest.approx(0.02)
    assert (one.seconds_mean, two.seconds_mean) == (100, 52)
    assert (one.seconds_std, two.seconds_std) == (pytest.approx(4), pytest.approx(2))
    assert (one.speedup, one.efficiency, one.accuracy_difference_points) == (1, 1, 0)
    assert two.speedup == pytest.approx(100 / 52)
    assert two.efficiency == pytest.approx(50 / 52)
    assert two.accuracy_difference_points == pytest.approx(2 / 3)
    # Differences 1, 0 and 1 points: mean 2/3, deviation 1/√3, t(2 degrees) 4.303, so ± 4.303 · (1/√3)/√3.
    assert two.accuracy_difference_interval == pytest.approx((2 / 3 - 4.303 / 3, 2 / 3 + 4.303 / 3), abs=1e-3)
    assert (one.paired_seeds, two.paired_seeds) == (0, 3)
    assert one.accuracy_difference_interval is None


def test_a_single_repeat_has_no_spread_and_no_interval() -> None:
    row = rows_of(run_record(), run_record(slots=2))["tensorflow", 2]
    assert row.accuracy_std is row.seconds_std is row.loss_std is row.accuracy_difference_interval is None
    assert row.paired_seeds == 1


def test_without_a_one_slot_run_nothing_is_measured_against_it() -> None:
    row = rows_of(run_record(slots=2), run_record(slots=4))["tensorflow", 4]
    assert row.speedup is row.efficiency is row.accuracy_difference_points is row.accuracy_difference_interval is None


def test_each_engine_is_measured_against_its_own_one_slot_run() -> None:
    times = {("tensorflow", 1): 100, ("tensorflow", 2): 50, ("torch", 1): 90, ("torch", 2): 60}
    rows = rows_of(*(run_record(engine=engine, slots=slots, train_seconds=time) for (engine, slots), time in times.items()))
    assert rows["tensorflow", 2].speedup == pytest.approx(2)
    assert rows["torch", 2].speedup == pytest.approx(1.5)
    assert list(rows) == sorted(times)


def test_only_equal_seeds_are_paired_and_a_repeated_seed_counts_once() -> None:
    single = runs_of(*repeats(1, [0.5, 0.6, 0.9], [1, 1, 1]))
    double = runs_of(*repeats(2, [0.52, 0.64], [1, 1]), run_record(slots=2, settings={"seed": 8}, test_accuracy=0.68), run_record(slots=2, settings={"seed": 99}))
    assert table.paired_differences(double, single) == pytest.approx([2, 6])


def test_the_kept_epoch_gives_the_validation_accuracy() -> None:
    record = run_record(epochs=3, best_epoch=2)
    assert rows_of(record)["tensorflow", 1].validation_accuracy_mean == record.epochs[1].validation_accuracy


def test_a_diverged_run_has_no_loss_instead_of_nan(tmp_path: Path) -> None:
    diverged = write_run(str(tmp_path / "a"), run_record(test_loss=math.nan))
    output = str(tmp_path / "comparison")
    record = compare.compare_runs([diverged], output, overwrite=False, command="compare")
    assert record.rows[0].loss_mean is None
    assert "NaN" not in storage.read_text(ComparisonPaths(storage.normalise(output)).json)


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (5, 2.5706), (10, 2.2281), (30, 2.0423), (99, 1.9842), (1000, 1.9623)]
)
def test_t_quantiles_are_those_of_the_printed_tables(freedom: int, quantile: float) -> None:
    assert statistics.t_quantile(freedom) == pytest.approx(quantile, abs=5e-5)


shares = st.floats(0, 1)
times = st.floats(0.01, 1e6)
some_runs = st.lists(st.tuples(st.sampled_from([1, 2, 4]), st.integers(0, 3), shares, times), min_size=1, max_size=8)


@given(some_runs)
def test_one_slot_is_its_own_measure_and_efficiency_is_speedup_per_slot(drawn: list[tuple[int, int, float, float]]) -> None:
    rows = rows_of(*(run_record(slots=slots, epochs=1, settings={"seed": seed}, test_accuracy=accuracy, train_seconds=time) for slots, seed, accuracy, time in drawn))
    assert sum(row.repeats for row in rows.values()) == len(drawn)
    for row in rows.values():
        if ("tensorflow", 1) not in rows:
            assert row.speedup is None
            continue
        assert row.speedup is not None
        assert row.efficiency is not None
        assert row.efficiency * row.slots == pytest.approx(row.speedup)
        if row.slots == 1:
            assert (row.speedup, row.accuracy_difference_points) == (1, 0)
        if row.accuracy_difference_interval:
            assert row.accuracy_difference_interval[0] <= row.accuracy_difference_interval[1]


DIFFERENT = [
    ("dataset_fingerprint", {"dataset_fingerprint": "0" * 64}, "0000", "ffff"),
    ("model", {"model": "simple"}, "simple", "covers"),
    ("epochs", {"epochs": 5}, "5", "3"),
    ("batch_size", {"settings": {"batch_size": 128}}, "128", "64"),
    ("optimizer", {"settings": {"optimizer": "sgd"}}, "sgd", "adam"),
    ("momentum", {"settings": {"momentum": 0.9}}, "0.9", "0.0"),
    ("learning_rate", {"settings": {"learning_rate": 0.1}}, "0.1", "0.001"),
    ("precision", {"settings": {"precision": "float64"}}, "float64", "float32"),
    ("steps_per_epoch", {"settings": {"steps_per_epoch": 9}}, "9", "None"),
    ("augment", {"settings": {"augment": []}}, "[]", "['flip']"),
    ("cores_per_slot", {"settings": {"cores_per_slot": 2}}, "2", "1"),
    ("use_gpu", {"settings": {"use_gpu": True}}, "True", "False"),
]


@pytest.mark.parametrize(("name", "fields", "value", "expected"), DIFFERENT, ids=[case[0] for case in DIFFERENT])
def test_a_run_of_other_conditions_is_refused_by_name(name: str, fields: dict[str, object], value: str, expected: str) -> None:
    runs = runs_of(run_record(), run_record(slots=2), run_record(slots=2, **fields))
    with pytest.raises(UsageError) as refusal:
        table.check_comparable(runs)
    message = str(refusal.value)
    assert f"file:///runs/2 has {name} {value}" in message
    assert f"instead of {expected}" in message
    assert "file:///runs/1" not in message


def test_seed_slots_and_engine_may_differ() -> None:
    table.check_comparable(runs_of(run_record(), run_record(slots=2, settings={"seed": 8}), run_record(engine="torch")))


def test_a_run_given_twice_and_no_run_are_refused(tmp_path: Path) -> None:
    uri = write_run(str(tmp_path / "a"), run_record())
    with pytest.raises(UsageError, match="more than once"):
        compare.compare_runs([uri, str(tmp_path / "a") + "/"], str(tmp_path / "out"), overwrite=False, command="compare")
    with pytest.raises(UsageError, match="no runs"):
        compare.compare_runs([], str(tmp_path / "out"), overwrite=False, command="compare")
    assert not (tmp_path / "out").exists()


def test_the_three_files_tell_the_same_story(tmp_path: Path) -> None:
    uris = [write_run(str(tmp_path / f"runs/{slots}"), run_record(slots=slots, train_seconds=100 / slots)) for slots in (1, 2)]
    kept = tmp_path / "comparison/runs/kept"
    kept.mkdir(parents=True)
    record = compare.compare_runs(uris, str(tmp_path / "comparison"), overwrite=False, command="spark-submit jobs/compare.py --mine")
    content = json.loads((tmp_path / "comparison/comparison.json").read_text())
    text = (tmp_path / "comparison/comparison.md").read_text()
    page = (tmp_path / "comparison/comparison.html").read_text()
    assert all(set(FROZEN) <= set(row) for row in content["rows"])
    assert [row["slots"] for row in content["rows"]] == [1, 2]
    assert content["rows"][1]["speedup"] == pytest.approx(2)
    assert [run["uri"] for run in content["runs"]] == uris
    assert text == compare.markdown(record)
    for words in ("2.00×", "spark-submit jobs/compare.py --mine", uris[1]):
        assert words in text
        assert words in page
    assert kept.is_dir()
    assert sorted(entry.name for entry in (tmp_path / "comparison").iterdir()) == ["comparison.html", "comparison.json", "comparison.md", "runs"]


def test_a_comparison_is_replaced_only_when_asked(tmp_path: Path) -> None:
    uri = write_run(str(tmp_path / "run"), run_record())
    output = str(tmp_path / "comparison")
    compare.compare_runs([uri], output, overwrite=False, command="first")
    with pytest.raises(UsageError, match=r"already\. Received: file://.*comparison\. Accepted: --overwrite, or another --output"):
        compare.compare_runs([uri], output, overwrite=False, command="second")
    assert "first" in (tmp_path / "comparison/comparison.md").read_text()
    compare.compare_runs([uri], output, overwrite=True, command="second")
    assert "second" in (tmp_path / "comparison/comparison.md").read_text()


def test_an_unfinished_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    with pytest.raises(DataError, match="half is not a finished run"):
        compare.compare_runs([str(tmp_path / "half")], str(tmp_path / "out"), overwrite=False, command="compare")


def test_runs_are_found_where_they_finished(tmp_path: Path) -> None:
    first, second = (write_run(str(tmp_path / name), run_record()) for name in ("b", "a"))
    (tmp_path / "half").mkdir()
    (tmp_path / ".a.tmp").mkdir()
    assert compare.find_runs(str(tmp_path)) == [second, first]


def test_without_runs_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"jobs/train_distributed\.py --slots 1"):
        compare.find_runs(str(tmp_path / "none"))


def test_the_largest_group_that_compares_something_is_chosen(tmp_path: Path) -> None:
    alone = [write_run(str(tmp_path / f"alone-{seed}"), run_record(epochs=5, settings={"seed": seed})) for seed in range(3)]
    group = [write_run(str(tmp_path / f"group-{slots}"), run_record(slots=slots)) for slots in (1, 2)]
    damaged = storage.normalise(str(tmp_path / "damaged"))
    storage.write_text(storage.join(damaged, "run.json"), "{")
    choice = compare.choose_runs([*alone, damaged, *group])
    assert choice.runs == group
    reasons = dict(choice.left_out)
    assert sorted(reasons) == sorted([*alone, damaged])
    assert reasons[alone[0]] == "epochs 5 instead of 3"
    assert "not JSON" in reasons[damaged]


def test_of_equal_groups_the_latest_is_chosen(tmp_path: Path) -> None:
    old = write_run(str(tmp_path / "old"), run_record(created="2026-01-01T00:00:00+00:00"))
    new = write_run(str(tmp_path / "new"), run_record(epochs=5, created="2026-01-02T00:00:00+00:00"))
    assert compare.choose_runs([old, new]).runs == [new]


def test_markdown_cells_do_not_break_the_table(tmp_path: Path) -> None:
    uri = write_run(str(tmp_path / "a|b"), run_record())
    text = compare.markdown(compare.compare_runs([uri], str(tmp_path / "out"), overwrite=False, command="compare"))
    body = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in body} == {13 + 1, 8 + 1}


def test_published_figures_stand_beside_ours(tmp_path: Path) -> None:
    uris = [write_run(str(tmp_path / str(slots)), run_record(slots=slots, test_accuracy=accuracy)) for slots, accuracy in ((1, 0.75), (2, 0.7451))]
    published = compare.Published("Somebody 2025", {"1": 0.709, "2": 0.676, "torch-1": 0.9})
    text = compare.markdown(compare.compare_runs(uris, str(tmp_path / "out"), overwrite=False, command="compare", published=published))
    assert "Somebody 2025: 70.90 % on 1 slot, here +4.10 points; 67.60 % on 2 slots, here +6.91 points; 90.00 % on torch, 1 slot." in text


def test_a_run_of_before_a_setting_existed_counts_as_its_default(tmp_path: Path) -> None:
    uris = [write_run(str(tmp_path / "old"), run_record(slots=1)), write_run(str(tmp_path / "new"), run_record(slots=2, settings={"label_smoothing": 0.0, "limit": None}))]
    assert len(compare.compare_runs(uris, str(tmp_path / "out"), overwrite=False, command="compare").rows) == 2
    other = write_run(str(tmp_path / "other"), run_record(slots=2, settings={"label_smoothing": 0.1}))
    with pytest.raises(UsageError, match="label_smoothing"):
        compare.compare_runs([uris[0], other], str(tmp_path / "elsewhere"), overwrite=False, command="compare")


def test_resumed_runs_and_differing_versions_are_pointed_out(tmp_path: Path) -> None:
    uris = [
        write_run(str(tmp_path / "a"), run_record()),
        write_run(str(tmp_path / "b"), run_record(slots=2, resumed_from=[Position(epoch=1, step=0)], versions={"tensorflow": "2.20.0", "keras": "3.15.1"})),
    ]
    text = compare.markdown(compare.compare_runs(uris, str(tmp_path / "out"), overwrite=False, command="compare"))
    assert f"not those of one undisturbed run: {uris[1]}" in text
    assert "tensorflow 2.20.0 and 2.21.0" in text
    assert "keras" not in text
