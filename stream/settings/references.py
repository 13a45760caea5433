"""Load the reference files that the configuration names, and refuse those that do not fit it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from detectors import Reference
from detectors.errors import DetectorError
from stream.errors import ConfigError
from stream.settings.configuration import Settings
from stream.settings.tree import nearest

_NAMED_COLUMNS = 10


def load_references(settings: Settings) -> dict[tuple[str, str], Reference]:
    """Return all references by (model, version), in the order of the configuration.

    Models that learn theirs from the stream have none here (:mod:`stream.learning.store` keeps those). Use
    :func:`load_versions` for those of one model.

    Raises
    ------
    ConfigError
        No model is configured; or a file is missing, is not a reference, belongs to another model or has
        no version; two files of a model carry the same version; or a column with settings of its own is in
        none of them. The message names the file.
    """
    if not settings.models:
        raise ConfigError(
            f"{settings.where('models')}: models is empty; name at least one model and its references"
        )
    return {
        (model, version): reference
        for model in settings.models
        for version, reference in load_versions(settings, model).items()
    }


def load_versions(settings: Settings, model: str) -> dict[str, Reference]:
    """Return the references of one model by version, the newest last; errors as :func:`load_references`."""
    loaded: dict[str, Reference] = {}
    files: dict[str, Path] = {}
    for index, path in enumerate(settings.models[model].references):
        place = settings.where("models", model, "references", index)
        reference = _load(path, model, place)
        version = _version(reference, path, model, place)
        if version in files:
            raise ConfigError(
                f"{place}: {path} and {files[version]} are both version {version!r} of {model}; keep one"
            )
        loaded[version], files[version] = reference, path
    if loaded:
        found = {(model, version): reference for version, reference in loaded.items()}
        settings.privacy.field_privacy.require(found)
        require_columns(settings, model, loaded.values())
    return loaded


def require_columns(settings: Settings, model: str, references: Iterable[Reference]) -> None:
    """Refuse settings of a column that no reference of the model has."""
    known = list(dict.fromkeys(name for reference in references for name in reference.names))
    for column in settings.models[model].features:
        if column not in known:
            raise ConfigError(
                f"{settings.where('models', model, 'features', column)}: no reference of {model} has "
                f"a column {column!r}{_nearest_column(column, known)}"
            )


def _nearest_column(column: str, known: list[str]) -> str:
    """Name the column that was probably meant, else what there is."""
    folded = {name.casefold(): name for name in reversed(known)}
    close = nearest(column.casefold(), folded)
    if close is not None:
        return f", did you mean {folded[close]!r}?"
    more = f" and {len(known) - _NAMED_COLUMNS} more" if len(known) > _NAMED_COLUMNS else ""
    return f"; its columns are {', '.join(known[:_NAMED_COLUMNS])}{more}"


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
