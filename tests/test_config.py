"""Settings: flags, TOML and defaults in one model, and each mistake said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from slotwise import config
from slotwise.errors import UsageError
from slotwise.settings.compare import CompareSettings
from slotwise.settings.prepare import PrepareSettings
from slotwise.settings.study import StudySettings
from slotwise.settings.train import TrainSettings

MODELS = (PrepareSettings, TrainSettings, CompareSettings, StudySettings)


def toml(directory: Path, text: str) -> str:
    path = directory / "job.toml"
    path.write_text(text)
    return str(path)


def refused(model: type[config.Settings], *arguments: str) -> str:
    with pytest.raises(UsageError) as caught:
        config.load(model, arguments)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_defaults_need_no_arguments() -> None:
    settings = config.load(TrainSettings, [])
    assert (settings.slots, settings.precision, settings.dataset) == (1, "float32", None)


def test_flags_win_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    path = toml(tmp_path, 'slots = 4\nbatch-size = 32\nprecision = "float64"\n')
    settings = config.load(TrainSettings, ["--config", path, "--slots", "2"])
    assert (settings.slots, settings.batch_size, settings.precision, settings.epochs) == (2, 32, "float64", 8)


def test_keys_are_kebab_case_like_the_flags_and_may_be_snake_case(tmp_path: Path) -> None:
    kebab = config.load(PrepareSettings, ["--config", toml(tmp_path, 'per-class = 7\nimage-size = "8x6"\n')])
    snake = config.load(PrepareSettings, ["--config", toml(tmp_path, "per_class = 7\nimage_size = [8, 6]\n")])
    flags = config.load(PrepareSettings, ["--per-class", "7", "--image-size", "8x6"])
    assert kebab == snake == flags
    assert flags.image_size == (8, 6)


def test_one_file_serves_every_job(tmp_path: Path) -> None:
    path = toml(tmp_path, "seed = 3\n[prepare]\nclasses = 5\n[training]\nepochs = 9\n[train_distributed]\nslots = 2\nseed = 4\n[compare]\nrepeats = 3\n")
    assert (config.load(PrepareSettings, ["--config", path]).classes, config.load(PrepareSettings, ["--config", path]).seed) == (5, 3)
    assert (config.load(TrainSettings, ["--config", path]).slots, config.load(TrainSettings, ["--config", path]).seed) == (2, 4)
    compared = config.load(CompareSettings, ["--config", path])
    assert (compared.repeats, compared.epochs, compared.seed, compared.slots) == (3, 9, 3, [1, 2])
    study = config.load(StudySettings, ["--config", path])
    assert (study.repeats, study.epochs, study.seed, study.classes, study.preparation().classes, study.comparison().epochs) == (3, 9, 3, 5, 5, 9)


@pytest.mark.parametrize("spelling", [["--augment", "flip,crop"], ["--augment", "flip", "crop"], ["--augment", "flip,", "crop"]])
def test_lists_take_commas_and_spaces(spelling: list[str]) -> None:
    assert config.load(TrainSettings, spelling).augment == ["flip", "crop"]


@pytest.mark.parametrize("spelling", [["filters=40,l2=0.001", "stem=plain"], ["filters=40, l2=1e-3,stem=plain"]])
def test_pairs_take_commas_spaces_numbers_and_words(spelling: list[str], tmp_path: Path) -> None:
    found = config.load(TrainSettings, ["--model-parameters", *spelling]).model_parameters
    path = toml(tmp_path, '[training]\nmodel-parameters = { filters = 40, l2 = 0.001, stem = "plain" }\n')
    assert found == config.load(TrainSettings, ["--config", path]).model_parameters == {"filters": 40, "l2": 0.001, "stem": "plain"}
    assert isinstance(found["filters"], int)


def test_switches_can_be_turned_off_again(tmp_path: Path) -> None:
    path = toml(tmp_path, "overwrite = true\n")
    assert config.load(TrainSettings, ["--config", path]).overwrite
    assert not config.load(TrainSettings, ["--config", path, "--no-overwrite"]).overwrite


def test_paths_become_uris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert config.load(TrainSettings, ["--dataset", "data/x"]).dataset == (tmp_path / "data" / "x").as_uri()
    assert config.load(TrainSettings, ["--dataset", "hdfs://host:9000/x"]).dataset == "hdfs://host:9000/x"


def test_an_unknown_key_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    message = refused(TrainSettings, "--config", toml(tmp_path, "batchsize = 32\n"))
    assert "The key 'batchsize' in " in message
    assert "(did you mean 'batch-size'?)" in message
    assert "Received: batchsize = 32." in message
    assert "Accepted: dataset, run, slots" in message


def test_an_unknown_key_in_a_section_is_refused_too(tmp_path: Path) -> None:
    assert "'epoch'" in refused(TrainSettings, "--config", toml(tmp_path, "[train_distributed]\nepoch = 3\n"))


@pytest.mark.parametrize("flags", [["--batchsize", "32"], ["--batch", "32"], ["surplus"], ["--slots"]])
def test_an_unknown_or_unfinished_flag_is_refused(flags: list[str]) -> None:
    assert "The command line is wrong" in refused(TrainSettings, *flags)


@pytest.mark.parametrize(
    ("model", "flags", "received", "accepted"),
    [
        (TrainSettings, ["--slots", "0"], "'0'", "a whole number from 1"),
        (TrainSettings, ["--slots", "two"], "'two'", "a whole number from 1"),
        (TrainSettings, ["--precision", "float8"], "'float8'", "float32, mixed_bfloat16, mixed_float16 or float64"),
        (TrainSettings, ["--learning-rate", "0"], "'0'", "a number above 0"),
        (TrainSettings, ["--augment", "flip,spin"], "spin", "flip, crop, shift, rotate, shear, zoom, brightness, with commas"),
        (TrainSettings, ["--dataset", "htfs://x"], "'htfs://x'", "a plain path, file://, hdfs:// or any protocol of fsspec (s3://, gs://, abfs://, …)"),
        (PrepareSettings, ["--source", "imagenet"], "'imagenet'", "demo, covers, cifar10, fashion-mnist or folder"),
        (PrepareSettings, ["--image-size", "64"], "'64'", "HEIGHTxWIDTH, each from 4 to 4096"),
        (PrepareSettings, ["--logical-shards", "5000"], "'5000'", "a whole number from 1 to 4096"),
        (TrainSettings, ["--model-parameters", "filters"], "'filters'", "name=value pairs, with commas"),
        (CompareSettings, ["--slots", "1,x"], "x", "whole numbers from 1, with commas"),
    ],
)
def test_a_wrong_value_says_what_was_received_and_what_is_accepted(model: type[config.Settings], flags: list[str], received: str, accepted: str) -> None:
    message = refused(model, *flags)
    assert f"The value of {flags[0]} is wrong" in message
    assert received in message.split("Received: ")[1].split(". Accepted: ")[0]
    assert message.endswith(f"Accepted: {accepted}.")
    assert message.count("Received: ") == 1


@pytest.mark.parametrize(
    ("model", "flags", "words"),
    [
        (TrainSettings, ["--resume"], "--resume needs --run"),
        (TrainSettings, ["--resume", "--overwrite", "--run", "x"], "--resume and --overwrite exclude each other"),
        (TrainSettings, ["--decay-rate", "0.9"], "--decay-rate belongs to --schedule exponential"),
        (TrainSettings, ["--warmup-epochs", "8"], "The warm-up is as long as the training"),
        (StudySettings, ["--batch-size", "24"], "16 logical shards"),
        (StudySettings, ["--slots", "1,17"], "Each slot needs at least one logical shard"),
        (PrepareSettings, ["--source", "cifar10"], "Source cifar10 needs --input"),
        (PrepareSettings, ["--split", "60,20,30"], "--split is wrong"),
        (CompareSettings, ["--runs", "a", "--dataset", "d"], "--runs and --dataset exclude each other"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(model: type[config.Settings], flags: list[str], words: str) -> None:
    assert words in refused(model, *flags)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in refused(TrainSettings, "--config", str(tmp_path / "absent.toml"))
    assert "is not TOML" in refused(TrainSettings, "--config", toml(tmp_path, "slots: 2\n"))


@pytest.mark.parametrize("model", MODELS)
def test_help_lists_every_flag_and_its_default(model: type[config.Settings], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        config.load(model, ["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for name in model.model_fields:
        assert "--" + name.replace("_", "-") in text
    assert "(default: 7)" in text
    assert f"spark-submit jobs/{model.job}.py" in text


def test_an_explained_error_ends_the_job_with_its_code_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def main(arguments: list[str]) -> None:
        raise UsageError("The value is wrong", received="x", accepted="y")

    with pytest.raises(SystemExit) as ended:
        config.run_job(main)
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: The value is wrong. Received: x. Accepted: y.\n"
