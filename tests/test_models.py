"""The models by name, and those that users bring: found without an import, built as the works have them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from slotwise import models
from slotwise.errors import UsageError

OWN = """
import keras

def small(image_shape, classes, *, units=8):
    inputs = keras.Input(image_shape)
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    x = keras.layers.Dense(units, activation="relu")(x)
    return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(x))

def any_of_them(image_shape, classes, **parameters):
    return small(image_shape, classes)

def wrong(image_shape, classes):
    return small(image_shape, classes + 1)

def nothing():
    pass
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a module and a package of a user's."""
    (tmp_path / "nets_of_mine.py").write_text(OWN)
    (tmp_path / "my_package" / "deep").mkdir(parents=True)
    for place in ("my_package", "my_package/deep"):
        (tmp_path / place / "__init__.py").touch()
    (tmp_path / "my_package" / "deep" / "net.py").write_text(OWN)
    (tmp_path / "broken.py").write_text("def f(:\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "shape", "parameters", "weights"),
    [
        # ResNet-18 for 1,000 classes has 11,689,512 weights (He et al. 2015 in torchvision's count); 10 classes leave out 990 x 513.
        ("resnet18", (224, 224, 3), {}, 11_689_512 - 990 * 513),
        # The 3x3 stem has 40 x 3 x 64 weights less than the 7x7 one.
        ("resnet18", (32, 32, 3), {}, 11_689_512 - 990 * 513 - 40 * 3 * 64),
        ("resnet18", (32, 32, 3), {"resize": 96}, 11_689_512 - 990 * 513),
    ],
)
def test_resnet18_has_the_weights_of_the_paper(name: str, shape: tuple[int, int, int], parameters: dict[str, int], weights: int) -> None:
    built = models.build(name, shape, 10, parameters)
    assert sum(int(weight.numpy().size) for weight in built.trainable_weights) == weights


@pytest.mark.parametrize("name", models.NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_model_takes_grey_and_colour(name: str, channels: int) -> None:
    built = models.build(name, (48, 32, channels), 5, {"filters": 8})
    assert built.output_shape == (None, 5)


def test_parameters_reach_the_model() -> None:
    few, many = (models.build("covers", (48, 48, 3), 5, {"filters": filters}).count_params() for filters in (24, 40))
    assert few < many


def test_a_models_function_is_found_without_importing_it(here: Path) -> None:
    (here / "explodes.py").write_text("raise RuntimeError('imported')\ndef f(image_shape, classes, *, width=1): ...\n")
    found = models.definition("explodes:f")
    assert (found.path, found.parameters) == (here / "explodes.py", ("width",))
    assert models.definition("my_package.deep.net:small").path == here / "my_package"


def test_naming_models_loads_no_tensorflow() -> None:
    script = "import sys; from slotwise import models; models.check('covers', {'filters': 24}); sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", ["nets_of_mine:small", "my_package.deep.net:small"])
def test_a_users_function_is_built(name: str) -> None:
    assert models.build(name, (8, 8, 3), 4, {"units": 3}).output_shape == (None, 4)
    assert models.build("nets_of_mine:any_of_them", (8, 8, 3), 4, {"whatever": 3}).output_shape == (None, 4)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("name", "parameters", "says"),
    [
        ("nope", {}, "covers, fashion, leaf, resnet18, simple, or package.module:function"),
        ("absent:f", {}, "no module absent"),
        ("my_package.absent:f", {}, "no module my_package.absent"),
        ("nets_of_mine:absent", {}, "small, any_of_them, wrong, nothing"),
        ("nets_of_mine:nothing", {}, "def nothing(image_shape, classes"),
        ("nets_of_mine:small", {"filters": 3}, "Accepted: units"),
        ("covers", {"widgets": 3}, "Accepted: filters, l2"),
        ("broken:f", {}, "cannot be read"),
        ("math:sqrt", {}, "no module math"),
    ],
)
def test_what_is_no_model_is_refused_before_anything_is_imported(name: str, parameters: dict[str, int], says: str) -> None:
    with pytest.raises(UsageError, match=says.replace("(", r"\(")):
        models.check(name, parameters)


@pytest.mark.usefixtures("here")
def test_a_model_of_other_shapes_is_refused() -> None:
    with pytest.raises(UsageError, match="other shapes than the dataset"):
        models.build("nets_of_mine:wrong", (8, 8, 3), 4, {})
    with pytest.raises(UsageError, match="cannot be built"):
        models.build("covers", (8, 8, 3), 4, {})
