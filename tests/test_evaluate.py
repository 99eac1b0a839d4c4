"""evaluate: its figures are scikit-learn's whatever the shards, and what cannot be evaluated is refused."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from datasets import make_dataset
from job_runs import empty_split
from records import evaluation_record, run_record, write_run
from slotwise import config
from slotwise.contracts.sample import Sample
from slotwise.errors import DataError, UsageError
from slotwise.evaluation.answers import Selection, answers, keep, kept
from slotwise.evaluation.metrics import class_metrics, confused_pairs, expected_calibration_error, reliability
from slotwise.evaluation.scores import softmax
from slotwise.evaluation.tally import BINS, tally, total
from slotwise.evaluation.write import markdown
from slotwise.inference import model_file
from slotwise.pipelines import evaluate
from slotwise.settings.evaluate import EvaluateSettings

NAMES = ["Art", "Fiction", "History", "Travel"]


def drawn(images: int, seed: int, spread: float, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels; the last class may have no image."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes - seed % 2, images)
    return random.normal(0, spread, (images, classes)) + np.eye(classes)[labels] * spread, labels


@settings(max_examples=40, deadline=None)
@given(images=st.integers(2, 60), seed=st.integers(0, 10**6), spread=st.sampled_from([0.1, 1.0, 300.0]), cuts=st.lists(st.integers(0, 60), max_size=3))
def test_figures_are_those_of_scikit_learn_however_the_images_are_divided(images: int, seed: int, spread: float, cuts: list[int]) -> None:
    logits, labels = drawn(images, seed, spread)
    bounds = sorted({0, images, *(cut for cut in cuts if cut < images)})
    sums = total(tally(logits[low:high], labels[low:high]) for low, high in pairwise(bounds))
    predicted, probabilities = logits.argmax(1), softmax(logits)
    assert sums.images == images
    assert sums.ranks[0] / images == reference.accuracy_score(labels, predicted)
    for k in (1, 2, 3):
        assert sums.ranks[:k].sum() / images == pytest.approx(reference.top_k_accuracy_score(labels, logits, k=k, labels=range(4)))
    np.testing.assert_array_equal(sums.confusion, reference.confusion_matrix(labels, predicted, labels=range(4)))
    found = class_metrics(sums.confusion, NAMES)
    expected = reference.precision_recall_fscore_support(labels, predicted, labels=range(4), zero_division=0)
    assert [(each.precision, each.recall, each.f1, each.images) for each in found] == list(zip(*(values.tolist() for values in expected), strict=True))
    # The probability of the class, of which no logarithm of zero is taken.
    losses = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(images), labels]
    assert sums.loss == pytest.approx(losses.sum(), rel=1e-9, abs=1e-9)
    assert expected_calibration_error(sums.bins) == pytest.approx(by_the_definition(probabilities.max(1), predicted == labels))
    assert sum(each.images for each in reliability(sums.bins)) == images


def by_the_definition(confidence: np.ndarray, right: np.ndarray) -> float:
    """Guo et al. 2017, equation 3, bin by bin."""
    error = 0.0
    for number in range(BINS):
        inside = (confidence > number / BINS) & (confidence <= (number + 1) / BINS)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return error


@settings(max_examples=25, deadline=None)
@given(images=st.integers(1, 40), seed=st.integers(0, 10**6), cut=st.integers(0, 40), per_class=st.integers(1, 8))
def test_the_images_kept_do_not_depend_on_the_shards(images: int, seed: int, cut: int, per_class: int) -> None:
    logits, labels = drawn(images, seed, 1.0)
    found = answers([Sample(f"{number}", int(label), b"") for number, label in enumerate(labels)], logits)
    selection = Selection(3, per_class)
    whole = keep([kept(found)], selection)
    assert keep([keep([kept(found[cut:])], selection), kept(found[:cut])], selection) == whole
    wrong = sorted((answer for answer in found if not answer.is_right), key=lambda answer: -answer.top[0][1])
    assert whole.wrong == wrong[:3]
    assert all(answer.is_right for answer in whole.right)
    counts = np.bincount(labels, minlength=4)
    np.testing.assert_array_equal(whole.confusion(4).sum(1), np.minimum(counts, per_class))


def test_the_most_confused_come_first() -> None:
    pairs = confused_pairs(np.array([[5, 0, 3], [4, 1, 3], [0, 0, 9]]), NAMES[:3])
    assert [(pair.true, pair.predicted, pair.images, pair.share) for pair in pairs] == [("Fiction", "Art", 4, 0.5), ("Art", "History", 3, 0.375), ("Fiction", "History", 3, 0.375)]


def test_the_text_names_runs_classes_and_confusions() -> None:
    record, _ = evaluation_record(["A|B", "Fiction", "History"], runs=2, command="spark-submit jobs/evaluate.py")
    text = markdown(record)
    for part in ("# run-0 and run-1 on the test split of demo", "| run-1 ", "## run-0", "A\\|B", "Calibration error", "60 images of the test split", "spark-submit jobs/evaluate.py"):
        assert part in text


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset `data` of four classes, runs that fit it in all but one thing each, and a dataset without test images."""
    import keras

    from records import write_model
    from slotwise import models

    root = tmp_path_factory.mktemp("bench")
    dataset = make_dataset(root / "data", shards=2, counts=(6, 4, 4), image_size=(16, 16))
    names = [f"class {label}" for label in range(4)]
    keras.utils.set_random_seed(1)
    model = models.build("simple", (16, 16, 3), 4, {"filters": 4})
    for run, classes in {"run": names, "turned": names[::-1], "others": ["cat", *names[1:]], "no-model": names}.items():
        write_run(str(root / run), run_record(class_names=classes, dataset=dataset))
        if run != "no-model":
            write_model(str(root / run), model)
    write_run(str(root / "grey"), run_record(class_names=names, dataset=dataset))
    write_model(str(root / "grey"), models.build("simple", (16, 16, 1), 4, {"filters": 4}))
    shutil.copytree(root / "data", root / "no-test")
    empty_split(root / "no-test", "test")
    (root / "done").mkdir()
    (root / "done" / "evaluation.json").touch()
    return root


REFUSALS = {
    "no run": ("", UsageError, ("No run is named",)),
    "given twice": ("--runs run run", UsageError, ("more than once",)),
    "run without a model": ("--runs run no-model", UsageError, ("The run has no model", "/no-model")),
    "other classes": ("--runs others", UsageError, ("/others are not those of", "model alone: cat; dataset alone: class 0")),
    "classes in another order": ("--runs turned", UsageError, ("/turned are not those of", "the same names in another order")),
    "other images": ("--runs run grey", UsageError, ("do not fit the model of", "/grey", "16x16, RGB", "images of 16x16, grey")),
    "dataset that is not there": ("--runs run --dataset absent", DataError, ("There is no dataset at", "/absent")),
    "empty split": ("--runs run --dataset no-test", UsageError, ("The test split of", "--split test", "train, validation")),
    "too many top classes": ("--runs run --top-k 5", UsageError, ("4 classes", "--top-k 5", "1 to 4")),
    "unknown split": ("--runs run --split all", UsageError, ("--split", "'all'", "train, validation or test")),
    "evaluation is there": ("--runs run --output done", UsageError, ("There is an evaluation already", "/done", "--overwrite")),
}


@pytest.mark.parametrize(("arguments", "error", "says"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refused_before_spark(arguments: str, error: type[Exception], says: tuple[str, ...], bench: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bench)
    with pytest.raises(error) as refused:
        evaluate.check(config.load(EvaluateSettings, arguments.split()))
    for part in says:
        assert part in str(refused.value)


def test_the_dataset_is_that_of_the_run_and_the_model_says_its_images(bench: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bench)
    job = evaluate.check(config.load(EvaluateSettings, ["--runs", "run"]))
    assert (job.dataset, job.top_k) == ((bench / "data").as_uri(), 2)
    assert model_file.read((bench / "run").as_uri()).image_shape == (16, 16, 3)
