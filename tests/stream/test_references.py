from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detectors import Reference
from stream.errors import ConfigError
from stream.settings.configuration import Settings, load_settings

CONFIG = """\
kafka: {bootstrap.servers: b}
redis: {url: redis://h}
models:
  loan:
    references:
      - refs/loan-1.json
      - refs/loan-2.json
"""


def build(path: Path, *, model: str | None, version: str | None) -> None:
    columns = {"age": np.arange(400) % 40 + 20.0}
    path.parent.mkdir(exist_ok=True)
    path.write_text(Reference.build(columns, window_rows=50, model=model, version=version).to_json())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    path = tmp_path / "driftstream.yaml"
    path.write_text(CONFIG)
    build(tmp_path / "refs/loan-1.json", model="loan", version="1")
    build(tmp_path / "refs/loan-2.json", model="loan", version="2")
    return load_settings(path, {})


def error_of(settings: Settings, tmp_path: Path) -> str:
    with pytest.raises(ConfigError) as error:
        settings.references()
    return str(error.value).replace(f"{tmp_path}/", "")


def test_references_load_in_the_order_of_the_configuration(settings: Settings) -> None:
    references = settings.references()
    assert list(references) == [("loan", "1"), ("loan", "2")]
    assert references["loan", "2"].names == ("age",)


def test_a_missing_file_names_its_line_and_how_to_build_it(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "refs/loan-2.json").unlink()
    assert error_of(settings, tmp_path) == (
        "driftstream.yaml:7: reference refs/loan-2.json of loan does not exist; "
        "build it with `driftstream reference build --model loan --output refs/loan-2.json`"
    )


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": "other"}', "not json"])
def test_a_file_that_is_no_reference_is_named(settings: Settings, tmp_path: Path, text: str) -> None:
    (tmp_path / "refs/loan-1.json").write_text(text)
    error = error_of(settings, tmp_path)
    assert error.startswith("driftstream.yaml:6: refs/loan-1.json is not a reference of loan: ")
    assert "\n" not in error


def test_another_models_reference_is_refused(settings: Settings, tmp_path: Path) -> None:
    build(tmp_path / "refs/loan-2.json", model="fraud", version="2")
    assert error_of(settings, tmp_path) == (
        "driftstream.yaml:7: reference refs/loan-2.json was built for model 'fraud', not for 'loan'; "
        "name the right file"
    )


def test_a_reference_needs_model_and_version(settings: Settings, tmp_path: Path) -> None:
    build(tmp_path / "refs/loan-2.json", model=None, version="2")
    assert "was built for no model, not for 'loan'" in error_of(settings, tmp_path)
    build(tmp_path / "refs/loan-2.json", model="loan", version=None)
    assert "refs/loan-2.json has no version; build it with --model-version" in error_of(settings, tmp_path)


def test_a_version_is_given_once(settings: Settings, tmp_path: Path) -> None:
    build(tmp_path / "refs/loan-2.json", model="loan", version="1")
    assert error_of(settings, tmp_path) == (
        "driftstream.yaml:7: refs/loan-2.json and refs/loan-1.json are both version '1' of loan; keep one"
    )


def test_no_model_at_all_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "driftstream.yaml"
    path.write_text("kafka: {bootstrap.servers: b}\nredis: {url: redis://h}\n")
    assert "models is empty; name at least one model" in error_of(load_settings(path, {}), tmp_path)
