"""Settings: frozen pydantic models filled from YAML files and ``key=value`` words; all errors are told at once."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, TypeAdapter, ValidationError

from braindec import registry
from braindec.errors import BraindecError, did_you_mean


class Section(BaseModel):
    """A part of the settings: frozen, unknown keys refused, numbers accepted where a name is wanted."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", coerce_numbers_to_str=True, validate_default=True, allow_inf_nan=False
    )


class Data(Section):
    """Which recordings: a data-set card, or a folder and the reader that understands it."""

    dataset: str | None = None
    root: str | None = None
    reader: str | None = None
    options: dict[str, Any] = {}


class Select(Section):
    """What to run this time; never part of a unit's key, so that other choices keep finished units."""

    subjects: list[str] | None = None


class RecipeConfig(Section):
    """Settings that every recipe has."""

    question: str = ""
    data: Data = Data()
    select: Select = Select()
    seed: int = 0

    def for_key(self) -> dict[str, Any]:
        """Return the settings that results depend on, as plain JSON (all but ``select`` and where the data lie)."""
        plain = self.model_dump(mode="json", exclude={"select", "question"})
        plain["data"]["root"] = None  # the content of the files is in the key, not where they lie
        return plain


def checked(check: Callable[[Any], Any]) -> AfterValidator:
    """Return a validator for ``Annotated[...]`` that refuses what ``check`` refuses, told with all other errors."""

    def validate(value: Any) -> Any:
        try:
            check(value)
        except BraindecError as error:
            raise ValueError(_in_one_line(error)) from None
        return value

    return AfterValidator(validate)


def name_in(kind: str) -> AfterValidator:
    """Return a validator of names that stand in a registry folder, e.g. "evaluate.metrics"."""
    return checked(lambda name: registry.check(kind, name))


def options_of(what: str | Callable[..., Any], *, needs: str | None = None) -> AfterValidator:
    """Return a validator of the options of an estimator.

    Parameters
    ----------
    what : str or class
        The class; or a registry folder such as "decoders", then the options have a ``name``. A method ``check`` of the
        class refuses values that its types allow.
    needs : str, optional
        A method that the class must have.
    """

    def check(options: Mapping[str, Any]) -> None:
        options, made = dict(options), what
        if isinstance(what, str):
            if "name" not in options:
                raise BraindecError("name is missing", allowed=", ".join(registry.names(what)))
            made = registry.get(what, options.pop("name"))
        if needs and not hasattr(made, needs):
            raise BraindecError(f"{made.__name__} cannot be used here: it has no {needs}()")  # type: ignore[union-attr]
        parameters = inspect.signature(made, eval_str=True).parameters  # type: ignore[arg-type]
        filled = fill_options(made.__name__, parameters, options)  # type: ignore[union-attr]
        estimator = made(**filled)  # type: ignore[operator]
        if hasattr(estimator, "check"):
            estimator.check()

    return checked(check)


def fill_options(name: str, parameters: Mapping[str, inspect.Parameter], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``options`` with defaults filled in and values brought to the types of ``parameters``.

    Raises
    ------
    BraindecError
        Lists every unknown option (with the nearest known one), missing one and wrong type.
    """
    errors = []
    allowed = ", ".join(parameters) or f"{name} has no options"
    unknown = [f"{key!r}{did_you_mean(str(key), parameters)}" for key in options if key not in parameters]
    if unknown:
        errors.append(BraindecError(f"{name} has no option {' and no option '.join(unknown)}", allowed=allowed))
    missing = [k for k, p in parameters.items() if p.default is p.empty and k not in options]
    if missing:
        errors.append(BraindecError(f"{name} needs {', '.join(missing)}", allowed=allowed))
    filled = {}
    for key, parameter in parameters.items():
        if key not in missing:
            adapter: TypeAdapter = TypeAdapter(parameter.annotation, config=ConfigDict(arbitrary_types_allowed=True))
            value = options.get(key, parameter.default)
            try:
                filled[key] = adapter.validate_python(value)
            except ValidationError as error:
                errors.append(BraindecError(f"{name}.{key}: {error.errors()[0]['msg']}", found=repr(value)))
    if len(errors) > 1:
        raise BraindecError("; ".join(_in_one_line(e) for e in errors))
    if errors:
        raise errors[0]
    return filled


def _in_one_line(error: BraindecError) -> str:
    more = [f"{word}: {text}" for word, text in (("found", error.found), ("allowed", error.allowed)) if text]
    return error.asked + (f" ({'; '.join(more)})" if more else "")


Model = TypeVar("Model", bound=BaseModel)


def load_config(
    model: type[Model], *files: str | Path, overrides: Sequence[str] = (), ignore: Sequence[str] = ("recipe",)
) -> Model:
    """Fill ``model`` from YAML files (later ones win) and ``key=value`` words.

    A section with a ``name`` that differs from the one before replaces it: options of one decoder are not for another.

    Parameters
    ----------
    model : type
        The pydantic model.
    *files : str or Path
        YAML files; each holds only the differences from those before it.
    overrides : sequence of str
        Words such as ``epochs.tmin=0.1`` or ``select.subjects=[01,02]``; values are read as YAML.
    ignore : sequence of str
        Top-level keys that belong to the file, not to the model.

    Raises
    ------
    BraindecError
        Lists every unknown key (with the nearest known one), wrong type and missing value.
    """
    merged: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for path in files:
        content = {k: v for k, v in read_yaml(path).items() if k not in ignore}
        _merge(merged, content, origin, str(Path(path).name))
    words: dict[str, Any] = {}
    for word in overrides:
        name, _, text = word.partition("=")
        if not _ or not name:
            raise BraindecError(f"cannot read the setting {word!r}", allowed="key=value, e.g. epochs.tmin=0.1")
        value: Any = parse_yaml(text, word) if text else None
        for part in reversed(name.split(".")):
            value = {part: value}
        _merge(words, value, origin, "command line")
    _merge(merged, words, origin, "command line")  # all at once: their order does not matter
    try:
        return model.model_validate(merged)
    except ValidationError as error:
        raise BraindecError(
            f"{error.error_count()} of the settings cannot be used", found=_explain(error, model, origin)
        ) from None


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file that holds a table of settings.

    Raises
    ------
    BraindecError
        If it is missing, is not YAML, or holds something else; the message has the line.
    """
    path = Path(path)
    if not path.is_file():
        raise BraindecError(f"there is no file {path}", fix="check the path")
    try:
        text = path.read_text(encoding="utf8")
    except UnicodeDecodeError as error:
        raise BraindecError(f"{path} is not a text file", found=str(error)) from None
    content = parse_yaml(text, str(path))
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise BraindecError(f"{path} must hold settings (key: value)", found=f"a {type(content).__name__}")
    return content


def parse_yaml(text: str, where: str) -> Any:
    """Parse YAML without executing anything; ``01`` stays text, only true and false are booleans."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - _Loader is a SafeLoader
    except yaml.YAMLError as error:
        raise BraindecError(f"{where} is not valid YAML", found=" ".join(str(error).split())) from None


def dump_yaml(value: Any) -> str:
    """YAML text of plain values, keys in their order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars: no octal ``01``, no yes/no/on/off booleans, no dates; a key given twice is an error."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, (list, dict)) or key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} cannot stand here (twice?)", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _scalars(kind: Any) -> None:
    for tag, pattern, first in (
        ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
        ("int", r"^[-+]?(?:0|[1-9][0-9_]*)$", "-+0123456789"),
        ("float", r"^[-+]?(?:(?:0|[1-9][0-9_]*)(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf))$|^\.nan$",
         "-+0123456789."),
        ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
        ("merge", r"^(?:<<)$", ["<"]),
    ):  # fmt: skip
        kind.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), list(first))


_Loader.yaml_implicit_resolvers = {}
_scalars(_Loader)
_scalars(_Dumper)  # beside YAML 1.1's own: what either reader would take for a number is quoted


def _merge(
    base: dict[str, Any], changes: Mapping[str, Any], origin: dict[str, str], where: str, path: str = ""
) -> None:
    for key, value in changes.items():
        name = f"{path}{key}"
        origin[name] = where
        if isinstance(value, Mapping) and isinstance(base.get(key), dict) and not _renamed(base[key], value):
            _merge(base[key], value, origin, where, f"{name}.")
        else:
            if isinstance(value, Mapping):
                _note(value, origin, where, f"{name}.")
            base[key] = dict(value) if isinstance(value, Mapping) else value


def _renamed(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return "name" in old and "name" in new and old["name"] != new["name"]


def _note(value: Mapping[str, Any], origin: dict[str, str], where: str, path: str) -> None:
    for key, inner in value.items():
        origin[f"{path}{key}"] = where
        if isinstance(inner, Mapping):
            _note(inner, origin, where, f"{path}{key}.")


def _explain(error: ValidationError, model: type[BaseModel], origin: Mapping[str, str]) -> str:
    lines = []
    for item in error.errors(include_url=False):
        place = [str(p) for p in item["loc"]]
        name = ".".join(place)
        source = next(
            (origin[".".join(place[:k])] for k in range(len(place), 0, -1) if ".".join(place[:k]) in origin), None
        )
        if item["type"] == "extra_forbidden":
            known = _fields(model, place[:-1])
            said = f"{name}: unknown{did_you_mean(place[-1], known)} (known: {', '.join(known)})"
        elif item["type"] == "missing":
            said = f"{name}: is missing"
        elif item["type"] == "value_error":
            said = f"{name + ': ' if name else ''}{item['ctx']['error']}"
        else:
            said = f"{name}: {item['msg']}; got {item['input']!r}"
        lines.append(said + (f" [{source}]" if source else ""))
    return "\n           ".join(lines)


def _fields(model: Any, place: Sequence[str]) -> list[str]:
    current: Any = model
    for part in place:
        field = getattr(current, "model_fields", {}).get(part)
        if field is None:
            return []
        options = [field.annotation, *getattr(field.annotation, "__args__", ())]
        current = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)
    return list(getattr(current, "model_fields", {}))
