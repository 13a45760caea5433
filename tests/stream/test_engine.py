from __future__ import annotations

import sys

import pytest

from stream.codec import JsonInferenceDecoder
from stream.codec.engine import chosen
from stream.errors import ConfigError


def test_without_the_extension_auto_is_python_and_native_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "driftstream_native", None)
    assert (chosen("auto"), chosen("python")) == ("python", "python")
    assert JsonInferenceDecoder({}).decode([b"x"], [0]).rejected[0].reason == "not_json"
    with pytest.raises(ConfigError, match=r"ingest\.decoder is native: .* is not installed"):
        JsonInferenceDecoder({}, engine="native")
