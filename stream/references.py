"""Load the reference files that the configuration names, and refuse those that do not fit it."""

from __future__ import annotations

from pathlib import Path

from detectors import Reference
from detectors.errors import DetectorError
from stream.errors import ConfigError
from stream.settings import Settings


def load_references(settings: Settings) -> dict[tuple[str, str], Reference]:
    """Return all references by (model, version), in the order of the configuration.

    Raises
    ------
    ConfigError
        No model is configured; or a file is missing, is not a reference, belongs to another model or has
        no version; or two files of a model carry the same version. The message names the file.
    """
    if not settings.models:
        raise ConfigError(
            f"{settings.where('models')}: models is empty; name at least one model and its references"
        )
    loaded: dict[tuple[str, str], Reference] = {}
    files: dict[tuple[str, str], Path] = {}
    for model, entry in settings.models.items():
        for index, path in enumerate(entry.references):
            place = settings.where("models", model, "references", index)
            reference = _load(path, model, place)
            version = _version(reference, path, model, place)
            if (model, version) in files:
                first = files[model, version]
                raise ConfigError(
                    f"{place}: {path} and {first} are both version {version!r} of {model}; keep one"
                )
            loaded[model, version], files[model, version] = reference, path
    return loaded


def _load(path: Path, model: str, place: str) -> Reference:
    """Read one file."""
    build = f"build it with `driftstream reference build --model {model} --output {path}`"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as exc:
        raise ConfigError(f"{place}: reference {path} of {model} does not exist; {build}") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{place}: reference {path} of {model} cannot be read: {exc}") from exc
    try:
        return Reference.from_json(text)
    except (DetectorError, ValueError) as exc:
        reason = str(exc).partition("\n")[0] or type(exc).__name__
        raise ConfigError(f"{place}: {path} is not a reference of {model}: {reason}; {build}") from exc


def _version(reference: Reference, path: Path, model: str, place: str) -> str:
    """Return the version a file was built for, having checked that it is for this model."""
    if reference.model != model:
        built = "no model" if reference.model is None else f"model {reference.model!r}"
        raise ConfigError(
            f"{place}: reference {path} was built for {built}, not for {model!r}; name the right file"
        )
    if not reference.version:
        raise ConfigError(f"{place}: reference {path} has no version; build it with --model-version VERSION")
    return str(reference.version)
