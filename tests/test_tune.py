"""The search for the best settings: spaces, oracles, a real search on two slots, and what is refused."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from benchmarks import faults
from hypothesis import HealthCheck, given
from hypothesis import settings as trying
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from conftest import LIGHT_JAVA
from datasets import make_dataset
from job_runs import COUNTS, TUNE, put, tiny_dataset, without_java
from slots import make_job, run_slots
from slotwise import config, storage
from slotwise.contracts import run as runs
from slotwise.contracts.search import Axis, SearchRecord, SearchState, TrialRecord
from slotwise.contracts.search import load as load_state
from slotwise.errors import UsageError
from slotwise.localcluster.cluster import LocalCluster
from slotwise.pipelines import tune
from slotwise.settings.train import TrainSettings
from slotwise.settings.tune import Kind, TuneSettings
from slotwise.training import audit
from slotwise.tuning import space
from slotwise.tuning.oracle import Oracle
from slotwise.tuning.write import best_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.timeout(600)

KINDS: tuple[Kind, ...] = ("grid", "random", "hyperband", "bayesian")
AXES = [Axis(name="model_parameters.filters", values=[8, 4]), Axis(name="learning_rate", values=[0.1, 0.01, 0.001])]
RANGES = [Axis(name="learning_rate", min=1e-4, max=1e-2, sampling="log"), Axis(name="batch_size", min=16, max=64, step=16)]


def write_space(directory: Path, text: str) -> str:
    path = directory / "space.toml"
    path.write_text(text)
    return str(path)


def test_the_published_grid_is_a_preset() -> None:
    axes = {axis.name: axis.values for axis in space.read("covers")}
    assert {name: set(values) for name, values in axes.items()} == {"model_parameters.filters": {24, 32, 40}, "learning_rate": {1e-4, 5e-4, 1e-3}}


def test_a_space_may_be_written_in_each_of_tomls_ways(tmp_path: Path) -> None:
    texts = (
        "[model-parameters.filters]\nvalues = [8, 4]\n[learning-rate]\nvalues = [0.1, 0.01, 0.001]\n",
        'model_parameters = { filters = { values = [8, 4] } }\nlearning_rate = { values = [0.1, 0.01, 0.001] }\n',
        '"model-parameters.filters" = { values = [8, 4] }\nlearning-rate.values = [0.1, 0.01, 0.001]\n',
    )
    assert all(space.read(write_space(tmp_path, text)) == AXES for text in texts)
    assert space.read(write_space(tmp_path, "learning-rate = { min = 1e-4, max = 1e-2, sampling = 'log' }\nbatch-size = { min = 16, max = 64, step = 16 }")) == RANGES


def test_the_readmes_space_is_read(repository: Path, tmp_path: Path) -> None:
    found = re.search(r"```toml\n(\[model-parameters.*?)```", (repository / "README.md").read_text(), re.DOTALL)
    assert found is not None
    assert [axis.name for axis in space.read(write_space(tmp_path, found[1]))] == ["model_parameters.filters", "learning_rate"]


def test_values_go_to_their_settings() -> None:
    before = {"learning_rate": 1.0, "model_parameters": {"l2": 0.1, "filters": 1}, "seed": 7}
    after = space.applied(before, {"learning_rate": 0.5, "model_parameters.filters": 2})
    assert after == {"learning_rate": 0.5, "model_parameters": {"l2": 0.1, "filters": 2}, "seed": 7}
    assert before["model_parameters"] == {"l2": 0.1, "filters": 1}


def test_the_grid_is_whole_and_waits_for_no_trial() -> None:
    oracle = Oracle("grid", AXES, epochs=4, max_trials=None, seed=7)
    chosen = []
    while choice := oracle.choose():
        chosen.append(tuple(choice.values.values()))
    assert chosen == list(product([8, 4], [0.1, 0.01, 0.001]))
    for number in range(1, len(chosen) + 1):
        oracle.end(number, None)
    assert oracle.choose() is None
    assert oracle.is_over


def test_hyperband_gives_the_better_trials_more_epochs() -> None:
    oracle = Oracle("hyperband", RANGES, epochs=9, max_trials=None, seed=7)
    trials = []
    while choice := oracle.choose():
        trials.append(choice)
        oracle.end(len(trials), choice.values["learning_rate"])
    assert oracle.is_over
    promoted = [(choice, trials[choice.parent - 1]) for choice in trials if choice.parent]
    assert promoted
    for choice, parent in promoted:
        assert choice.values == parent.values
        assert (parent.epochs or 0) < (choice.epochs or 0) <= 9
    best = min(trials, key=lambda choice: choice.values["learning_rate"])
    assert any(choice.epochs == 9 and choice.values == best.values for choice in trials)


@pytest.mark.parametrize("kind", ["random", "bayesian", "hyperband"])
def test_failures_do_not_end_a_search(kind: Kind) -> None:
    oracle = Oracle(kind, RANGES, epochs=4, max_trials=8, seed=7)
    number = 0
    while oracle.choose():
        number += 1
        oracle.end(number, None)
    assert oracle.is_over
    assert number >= 4


class Simulated:
    """A search whose trials end at once, or when they are told to, with a loss that their values give."""

    def __init__(self, kind: Kind, axes: Sequence[Axis], state: SearchState | None = None) -> None:
        self.oracle = Oracle(kind, axes, epochs=9, max_trials=9, seed=3)
        self.state = state or SearchState(version=1, dataset="d", dataset_fingerprint="f", oracle=kind, space=list(axes), settings={}, trials=[], order=[])
        self.oracle.go_through(self.state)

    def begin(self) -> TrialRecord | None:
        choice = self.oracle.choose()
        if choice is None:
            return None
        trial = TrialRecord(number=len(self.state.trials) + 1, values=choice.values, epochs=choice.epochs or 9, parent=choice.parent, run="r")
        self._keep([*self.state.trials, trial], trial.number)
        return trial

    def end(self, number: int) -> None:
        trial = self.state.trial(number)
        loss = None if number == 3 else float(trial.values["learning_rate"]) / trial.epochs
        self.oracle.end(number, loss)
        ended = trial.model_copy(update={"status": "failed" if loss is None else "finished", "validation_loss": loss})
        self._keep([*self.state.trials[: number - 1], ended, *self.state.trials[number:]], number)

    def _keep(self, trials: list[TrialRecord], number: int) -> None:
        text = self.state.model_copy(update={"trials": trials, "order": [*self.state.order, number]}).model_dump_json()
        self.state = SearchState.model_validate_json(text)


@pytest.mark.parametrize("kind", KINDS)
@trying(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(moves=st.lists(st.integers(0, 3), min_size=1, max_size=14))
def test_an_oracle_that_went_through_a_search_chooses_as_the_one_that_was_there(kind: Kind, moves: list[int]) -> None:
    search = Simulated(kind, AXES if kind == "grid" else RANGES)
    for move in moves:
        running = [trial.number for trial in search.state.trials if trial.status == "running"]
        if move and len(running) < 3:
            search.begin()
        elif running:
            search.end(running[move % len(running)])
    again = Simulated(kind, search.state.space, search.state)
    assert again.begin() == search.begin()


def test_best_settings_are_a_config_of_the_training(tmp_path: Path) -> None:
    trained = TrainSettings(
        dataset="data", run="run", model="covers", model_parameters={"filters": 40, "l2": 1e-05}, epochs=9, learning_rate=5e-4, augment=["flip"], patience=2, seed=3
    )
    trial = TrialRecord(number=3, values={}, epochs=9, run="run", status="finished", validation_loss=1.5, validation_accuracy=0.5, best_epoch=4)
    (tmp_path / "best.toml").write_text(best_settings(trial, trained))
    loaded = config.load(TrainSettings, ["--config", str(tmp_path / "best.toml"), "--train-on", "train+validation", "--run", "run"])
    assert loaded == trained.model_copy(update={"epochs": 4, "patience": None, "train_on": "train+validation"})


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_dataset(tmp_path_factory.mktemp("datasets") / "tiny")


class Searched:
    """A search in the session of the tests, twice: to its end, then gone on with when nothing is left."""

    def __init__(self, spark: SparkSession, dataset: str, root: Path) -> None:
        path = write_space(root, "optimizer.values = ['sgd', 'adam']\nmomentum.values = [0.0, 0.5]\n")
        arguments = ["--space", path, "--dataset", dataset, "--output", str(root / "out"), "--slots", "2", "--epochs", "2", "--batch-size", "16"]
        self.root = root / "out"
        self.record = tune.run(config.load(TuneSettings, arguments), "spark-submit jobs/tune.py", spark)
        self.again = tune.run(config.load(TuneSettings, [*arguments, "--resume"]), "spark-submit jobs/tune.py --resume", spark)


@pytest.fixture(scope="module")
def searched(spark: SparkSession, tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    return Searched(spark, tiny, tmp_path_factory.mktemp("search"))


def test_each_trial_is_a_whole_run(searched: Searched) -> None:
    finished = [trial for trial in searched.record.trials if trial.status == "finished"]
    assert [(trial.values["optimizer"], trial.values["momentum"]) for trial in finished] == [("sgd", 0.0), ("sgd", 0.5), ("adam", 0.0)]
    for trial in finished:
        run = runs.load(trial.run)
        assert (run.slots, run.settings["optimizer"], run.settings["momentum"]) == (1, trial.values["optimizer"], trial.values["momentum"])
        assert trial.validation_loss == min(epoch.validation_loss or 0.0 for epoch in run.epochs) == run.epochs[trial.best_epoch - 1].validation_loss
        assert not run.audit.faults
        assert run.placement[0].executor != "unknown"


def test_a_failed_trial_is_kept_with_its_reason(searched: Searched) -> None:
    (failed,) = [trial for trial in searched.record.trials if trial.status == "failed"]
    assert failed.values == {"optimizer": "adam", "momentum": 0.5}
    assert "--momentum belongs to --optimizer sgd" in failed.reason
    assert f"Trial {failed.number} failed: --momentum belongs" in (searched.root / "tune.md").read_text()


def test_the_best_is_the_lowest_loss_and_can_be_trained(searched: Searched) -> None:
    record = SearchRecord.model_validate_json((searched.root / "tune.json").read_text())
    losses = [trial.validation_loss for trial in record.trials if trial.validation_loss is not None]
    assert record.best is not None
    assert record.best.validation_loss == min(losses)
    words = record.commands[0].split()
    assert words[:2] == ["spark-submit", "jobs/train_distributed.py"]
    settings = config.load(TrainSettings, words[2:])
    assert (settings.optimizer, settings.momentum, settings.epochs) == (*record.best.values.values(), record.best.best_epoch)
    page = (searched.root / "tune.html").read_text()
    assert page.count("<svg") == 3
    assert sorted(path.name for path in searched.root.iterdir()) == ["best.toml", "search.json", "trials", "tune.html", "tune.json", "tune.md"]


def test_nothing_is_repeated_when_all_has_ended(searched: Searched) -> None:
    assert searched.again.trials == searched.record.trials
    assert searched.again.best == searched.record.best


def test_a_promoted_trial_goes_on_where_its_parent_ended(spark: SparkSession, tiny: str, tmp_path: Path) -> None:
    path = write_space(tmp_path, "learning-rate = { min = 1e-4, max = 1e-2, sampling = 'log' }\n")
    output = str(tmp_path / "out")
    arguments = ["--space", path, "--oracle", "hyperband", "--dataset", tiny, "--output", output, "--slots", "1", "--epochs", "3", "--max-trials", "4", "--batch-size", "16"]
    record = tune.run(config.load(TuneSettings, arguments), "spark-submit jobs/tune.py", spark)
    *first, promoted = record.trials
    best = min(first, key=lambda trial: trial.validation_loss or 0.0)
    assert ([trial.epochs for trial in record.trials], promoted.parent, promoted.values) == ([1, 1, 1, 3], best.number, best.values)
    run = runs.load(promoted.run)
    assert (promoted.run, [str(place) for place in run.resumed_from], len(run.epochs)) == (best.run, ["epoch 1"], 3)
    assert run.epochs[0].validation_loss == best.validation_loss
    assert str(run.audit) == f"each of {COUNTS[0]} ids exactly once in each of 3 epochs"


def test_both_splits_are_trained_on_once_each_on_any_number_of_slots(tiny: str, tmp_path: Path) -> None:
    jobs = [make_job(tiny, tmp_path / f"on-{slots}", slots=slots, train_on="train+validation", augment=["flip"]) for slots in (1, 3)]
    one, three = (run_slots(job, job.settings.slots) for job in jobs)
    images = COUNTS[0] + COUNTS[1]
    assert [epoch.images for epoch in one.epochs] == [images, images]
    assert [epoch.validation_loss for epoch in one.epochs] == [None, None]
    assert (one.best_epoch, one.test_images) == (2, COUNTS[2])
    assert [epoch.loss for epoch in three.epochs] == pytest.approx([epoch.loss for epoch in one.epochs], rel=1e-9)
    for job in jobs:
        assert str(audit.check(job.run, 2)) == f"each of {images} ids exactly once in each of 2 epochs"


@pytest.fixture
def remote(cluster: LocalCluster, tiny: str) -> Iterator[tuple[str, str]]:
    """The dataset, and a place for a search, on HDFS."""
    place = f"{cluster.hdfs}/tune/{uuid.uuid4().hex[:8]}"
    yield put(Path(storage.local_path(tiny)), f"{place}/tiny"), f"{place}/search"
    storage.delete(place)


@pytest.mark.cluster
def test_a_search_outlives_its_driver_and_a_trial_its_process(cluster: LocalCluster, remote: tuple[str, str], tmp_path: Path) -> None:
    dataset, output = remote
    path = write_space(tmp_path, "learning-rate.values = [0.01, 0.003, 0.001]\n")
    flags = ["--space", path, "--dataset", dataset, "--output", output, "--epochs", "6", "--batch-size", "16", "--checkpoint-steps", "2", "--patience", "9"]
    struck = faults.train(cluster.master, flags, job=TUNE, fault=faults.kill_driver, when=r"^trial \d: validation loss", options=LIGHT_JAVA)
    assert struck.driver.returncode == -9, struck.output
    before = load_state(f"{output}/search.json")
    ended = [trial for trial in before.trials if trial.status == "finished"]
    assert 1 <= len(ended) < 3

    resumed = faults.train(
        cluster.master, [*flags, "--resume"], job=TUNE, fault=faults.kill_training, slot=0, when=r"trial 3 \| slot 0 \| epoch 1/6  done", options=LIGHT_JAVA
    )
    assert resumed.driver.returncode == 0, resumed.output
    record = SearchRecord.model_validate(storage.read_json(f"{output}/tune.json"))
    assert [trial.status for trial in record.trials] == ["finished"] * 3
    assert [record.trial(trial.number) for trial in ended] == ended
    begun = set(re.findall(r"^trial (\d) \| slot 0 \| starts on", resumed.output, re.MULTILINE))
    assert begun == {"1", "2", "3"} - {str(trial.number) for trial in ended}
    assert sum(trial.restarts for trial in record.trials) == 1
    assert "SIGKILL" in resumed.output
    assert "restart 1 of at most 3" in resumed.output
    for trial in record.trials:
        assert str(runs.load(trial.run).audit) == f"each of {COUNTS[0]} ids exactly once in each of 6 epochs"
    assert "running.json" not in storage.children(output)


def test_a_signal_stops_all_trials_at_once_with_checkpoints(tiny: str, tmp_path: Path) -> None:
    path = write_space(tmp_path, "learning-rate.values = [0.01, 0.003, 0.001]\n")
    output = (tmp_path / "search").as_uri()
    flags = ["--space", path, "--dataset", tiny, "--output", output, "--epochs", "900", "--batch-size", "16", "--patience", "900"]
    struck = faults.train("local[2]", flags, job=TUNE, fault=faults.end_driver, when=r"trial 2 \| slot 0 \| epoch 1/900  done", options=LIGHT_JAVA)
    assert struck.driver.returncode == 143, struck.output
    assert f"error: The search was stopped as asked; 0 trials ended before. Go on with --resume --output {output}" in struck.output
    assert "Traceback" not in struck.output
    state = load_state(f"{output}/search.json")
    assert [trial.status for trial in state.trials] == ["running", "running"]
    assert all(any(name.endswith(".npz") for name in storage.children(f"{trial.run}/checkpoints")) for trial in state.trials)
    assert sorted(storage.children(output)) == ["search.json", "trials"]


SPACES = {
    "empty": ("", ("The search space is empty", "at least one of model, batch_size")),
    "no TOML": ("[", ("not TOML",)),
    "unknown setting": ("learning-rte.values = [1]", ("'learning_rte'", "no setting of training", "did you mean 'learning_rate'?")),
    "setting of how it runs": ("restarts.values = [1, 2]", ("'restarts'", "cannot be searched")),
    "epochs": ("epochs.values = [1, 2]", ("'epochs'", "cannot be searched")),
    "no values": ("learning-rate.values = []", ("'learning_rate' no values",)),
    "neither values nor range": ("learning-rate = 0.1", ("does not say what 'learning_rate' may be", "values = […], or min and max")),
    "values and range": ("learning-rate = { values = [0.1], min = 0.1, max = 0.2 }", ("does not say", "min and max")),
    "half a range": ("learning-rate = { min = 0.1 }", ("range of 'learning_rate' is none",)),
    "range the wrong way": ("learning-rate = { min = 0.2, max = 0.1 }", ("range of 'learning_rate' is none", "'min': 0.2")),
    "logarithm of nothing": ("momentum = { min = 0.0, max = 0.9, sampling = 'log' }", ("begins above 0",)),
    "unknown sampling": ("momentum = { min = 0.0, max = 0.9, sampling = 'cube' }", ("linear, log, reverse_log",)),
    "step to nowhere": ("batch-size = { min = 16, max = 64, step = 0 }", ("leads nowhere", "a step above 0")),
    "values of two kinds": ("learning-rate.values = [0.1, 'much']", ("not of one kind",)),
    "a value twice": ("learning-rate.values = [0.1, 0.1]", ("more than once",)),
    "value out of range": ("learning-rate.values = [0.1, 0.0]", ("'learning_rate' a value that it does not take", "learning_rate = 0.0", "a number above 0")),
    "unknown choice": ("optimizer.values = ['adam', 'adagrad']", ("'adagrad'", "adam or sgd")),
    "parts of an image": ("batch-size = { min = 16.0, max = 64.0 }", ("'batch_size' a value that it does not take", "multiple of the dataset's logical shards")),
    "batch that cannot be shared": ("batch-size.values = [16, 18]", ("--batch-size 18", "16 or 20")),
    "unknown model": ("model.values = ['simple', 'nope']", ("--model nope", "resnet18")),
    "unknown parameter": ("model-parameters.depth.values = [1]", ("no such parameter", "depth=1")),
    "parameter that builds no model": ("model-parameters.filters.values = [-1]", ("cannot be built", "'filters': -1")),
}


@pytest.mark.parametrize(("text", "says"), SPACES.values(), ids=SPACES.keys())
def test_spaces_that_are_refused(text: str, says: tuple[str, ...], tiny: str, tmp_path: Path) -> None:
    settings = config.load(TuneSettings, ["--space", write_space(tmp_path, text), "--dataset", tiny, "--output", str(tmp_path / "out"), "--batch-size", "16"])
    with pytest.raises(UsageError) as refused:
        tune.check(settings)
    for part in says:
        assert part in str(refused.value)
    assert not (tmp_path / "out").exists()


REFUSALS = {
    "no such space": ("--space cover --dataset tiny", ("does not exist (did you mean 'covers'?)", "--space cover", "existing TOML file")),
    "model that does not fit the images": ("--dataset small --model covers", ("The model covers cannot be built", "(12, 12, 3)", "larger images")),
    "unknown oracle": ("--oracle luck", ("--oracle", "'luck'", "grid, random, hyperband or bayesian")),
    "no trials": ("--max-trials 0", ("--max-trials", "a whole number from 1")),
    "validation images trained on": ("--train-on train+validation", ("validation images that are not trained on", "--train-on train")),
    "nothing to go on with": ("--dataset tiny --resume", ("no search to go on with", "--resume --output")),
    "resume and overwrite": ("--resume --overwrite", ("--resume and --overwrite", "one of them")),
    "something else there": ("--dataset tiny --output tiny --overwrite", ("something else than a search", "another --output")),
    "a search there": ("--dataset tiny --output begun", ("There is a search already", "--resume", "--overwrite")),
    "another space": ("--dataset tiny --output begun --resume --batch-size 16 --model simple", ("begun otherwise", "learning_rate", "momentum 0.0, 0.5")),
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Path:
    """A directory with a dataset, and a search in it that has begun."""
    root = tmp_path_factory.mktemp("bench")
    dataset = tiny_dataset(root / "tiny")
    make_dataset(root / "small", shards=4, counts=COUNTS, image_size=(12, 12))
    path = write_space(root, "momentum.values = [0.0, 0.5]\n")
    job = tune.check(config.load(TuneSettings, ["--space", path, "--dataset", dataset, "--output", str(root / "begun"), "--batch-size", "16", "--model", "simple"]))
    (root / "begun").mkdir()
    (root / "begun" / "search.json").write_text(job.state.model_dump_json())
    return root


@pytest.mark.parametrize(("arguments", "says"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refused_before_spark_starts(arguments: str, says: tuple[str, ...], bench: Path) -> None:
    batch = [] if "--batch-size" in arguments else ["--batch-size", "16"]
    done = without_java(TUNE, *arguments.split(), *batch, cwd=bench)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    for part in says:
        assert part in done.stderr
    assert "Traceback" not in done.stderr
    assert not (bench / "workspace").exists()


def test_a_good_call_would_have_started_spark(bench: Path) -> None:
    path = write_space(bench, "momentum.values = [0.0, 0.5]\n")
    done = without_java(TUNE, "--dataset", "tiny", "--batch-size", "16", "--space", path, cwd=bench)
    assert done.returncode not in (0, 2)
    assert "error: The" not in done.stderr
