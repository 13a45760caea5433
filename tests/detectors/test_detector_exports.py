from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import types

import msgspec
import pytest

import detectors

MODULES = [
    importlib.import_module(f"{package.__name__}.{info.name}")
    for package in (detectors, detectors.performance, detectors.sequential)
    for info in pkgutil.iter_modules(package.__path__)
]


def _public(module: types.ModuleType) -> list[tuple[str, object]]:
    return [
        (f"{module.__name__}.{name}", value)
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


PUBLIC = [item for module in MODULES for item in _public(module)]
CLASSES = [(name, value) for name, value in PUBLIC if inspect.isclass(value)]
FUNCTIONS = [(name, value) for name, value in PUBLIC if inspect.isfunction(value)] + [
    (f"{name}.{method}", function)
    for name, value in CLASSES
    for method, function in vars(value).items()
    if inspect.isfunction(function) and not method.startswith("_")
]


def test_all_is_sorted_and_complete():
    exported = [
        name
        for name, value in vars(detectors).items()
        if not name.startswith("_") and not inspect.ismodule(value) and name != "annotations"
    ]
    assert sorted(exported) == sorted(detectors.__all__)
    assert len(set(detectors.__all__)) == len(detectors.__all__)
    constants = [name for name in detectors.__all__ if name.isupper()]
    assert detectors.__all__ == constants + sorted(name for name in detectors.__all__ if not name.isupper())


@pytest.mark.parametrize(("name", "value"), PUBLIC, ids=[name for name, _ in PUBLIC])
def test_everything_public_is_documented(name, value):
    if inspect.isclass(value) or inspect.isfunction(value):
        assert (value.__doc__ or "").strip(), name


@pytest.mark.parametrize(("name", "function"), FUNCTIONS, ids=[name for name, _ in FUNCTIONS])
def test_everything_public_is_typed_and_takes_flags_by_keyword(name, function):
    signature = inspect.signature(function)
    assert signature.return_annotation is not inspect.Signature.empty, name
    for parameter in signature.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        assert parameter.annotation is not inspect.Parameter.empty, f"{name}({parameter.name})"
        if parameter.annotation in ("bool", bool):
            assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, f"{name}({parameter.name})"


@pytest.mark.parametrize(("name", "value"), CLASSES, ids=[name for name, _ in CLASSES])
def test_records_are_frozen(name, value):
    if dataclasses.is_dataclass(value):
        assert value.__dataclass_params__.frozen, name
    if issubclass(value, msgspec.Struct) and name != "detectors.reference_file.ReferenceFile":
        assert value.__struct_config__.frozen, name


@pytest.mark.parametrize(("name", "value"), CLASSES, ids=[name for name, _ in CLASSES])
def test_what_writes_bytes_reads_them(name, value):
    if not getattr(value, "_is_protocol", False):
        assert hasattr(value, "to_bytes") == hasattr(value, "from_bytes"), name


def test_error_tree_has_one_root():
    errors = [value for name, value in CLASSES if issubclass(value, Exception)]
    assert len(errors) >= 5
    assert all(issubclass(error, detectors.DetectorError) for error in errors)
