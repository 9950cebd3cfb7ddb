"""From a mapping in the file to a model, or to problems that point at what is wrong in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from keyword import iskeyword
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from archspec.diagnostics import Problem, did_you_mean, listing, shortened
from archspec.source import MAX_PROBLEMS, Node
from archspec.spec.fields import MAX_NAME, NAME_PATTERN, Pair
from archspec.spec.foreign_names import suggest_key
from archspec.spec.initializers import Zeros
from archspec.spec.places import Place, find, members, models

Model = TypeVar("Model", bound=BaseModel)
_Details = dict[str, Any]

# What Pydantic's errors of type ask for, in the words of a spec.
_TYPES = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "`true` or `false`",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_PLAIN = {
    int: _TYPES["int_type"],
    float: _TYPES["float_type"],
    bool: _TYPES["bool_type"],
    Pair: "a whole number, or two: [height, width]",
}
_BACKTICKS = re.compile("`(.*?)`")
_LIMITS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "above"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "below"),
}


def read(model: type[Model], node: Node, what: str) -> tuple[Model | None, list[Problem]]:
    """The model that `node` describes, or None and every problem with it.

    `what` names the thing in messages ("layer `conv1`"). Problems that only follow from one
    that is known already are left out, so there may be none although the model is None.
    """
    if node.entries is None:
        message = f"{what} must be a mapping of keys, not {shown(node)}"
        return None, [] if node.broken else [Problem("wrong-type", message, span=node.span)]
    try:
        return model.model_validate(node.data()), []
    except ValidationError as error:
        found = _distinct(model, node, error.errors(include_url=False, include_input=False))
    renamed = _renamed(found)
    return None, [
        _problem(place, details, what)
        for place, details in found
        # A missing key that is there under another name is a problem of that other name.
        if details["type"] != "missing" or place.path not in renamed
    ]


def _distinct(
    model: type[BaseModel], node: Node, errors: Iterable[Any]
) -> list[tuple[Place, _Details]]:
    """Pydantic's errors with their places, one a place: a union reports one for each member."""
    distinct: dict[tuple[tuple[str | int, ...], bool], tuple[Place, _Details]] = {}
    for details in errors:
        place = find(model, node, (*details["loc"], *details.get("ctx", {}).get("at", ())))
        if details["type"] == "union_tag_invalid":
            place = place.at_type()
        if not place.broken:
            distinct.setdefault((place.path, place.is_key), (place, dict(details)))
        if len(distinct) > MAX_PROBLEMS:
            break
    return list(distinct.values())


def shown(node: Node | None) -> str:
    """A value as it stands in messages."""
    if node is None:
        return "nothing"
    if node.entries is not None:
        return "a mapping"
    if node.items is not None:
        scalars = all(item.items is None and item.entries is None for item in node.items)
        if scalars and 0 < len(node.items) <= 6:
            return f"`[{', '.join(shortened(_word(item), 20) for item in node.items)}]`"
        return "a list" if node.items else "an empty list"
    if node.value is None or node.value == "":
        return "empty"
    return f"the text `{shortened(node.value)}`" if isinstance(node.value, str) else _quoted(node)


def _word(node: Node) -> str:
    if isinstance(node.value, bool):
        return str(node.value).lower()
    return "null" if node.value is None else str(node.value)


def _quoted(node: Node | None) -> str:
    """A value between backticks; lists and mappings are only named."""
    if node is None or node.entries is not None or node.items is not None:
        return shown(node)
    return f"`{shortened(_word(node))}`" if _word(node) else "an empty text"


def _problem(place: Place, details: _Details, what: str) -> Problem:
    return _HANDLERS.get(details["type"], _unusable)(place, details, what)


def _unknown_key(place: Place, details: _Details, what: str) -> Problem:
    key = place.key
    known = _keys(place)
    message = f"{_label(place.path[:-1], what)} has no key `{shortened(key)}`"
    return Problem(
        "unknown-key",
        message if key else f"{_label(place.path[:-1], what)} has a value without a key",
        suggest_key(key, [*known, *_beside(place)])
        or _home(place, key)
        or f"its keys are {listing(known)}",
        span=place.parent.locate((key,), key=True),
    )


def _missing_key(place: Place, details: _Details, what: str) -> Problem:
    message = f"{_label(place.path[:-1], what)} needs the key `{place.key}`"
    if place.parent.entries is None:
        help_: str | None = f"write `{{type: {_word(place.parent)}, {place.key}: ...}}`"
    else:  # what it takes, and what it means
        help_ = ": ".join(filter(None, (_expectation(place), _about(place)))) or None
    return Problem("missing-key", message, help_, span=place.span)


def _missing_part(place: Place, details: _Details, what: str) -> Problem:
    message = f"{_label(place.path, what)} needs the key `{details['msg']}`"
    field = models(place.annotation)[0].model_fields[details["msg"]]
    return Problem("missing-key", message, field.description, span=place.span)


def _missing_tag(place: Place, details: _Details, what: str) -> Problem:
    message = f"{_label(place.path, what)} needs the key `type`"
    help_ = f"the types are {listing(place.options)}"
    return Problem("missing-key", message, help_, span=place.span)


def _wrong_type(place: Place, details: _Details, what: str) -> Problem:
    kind = details["type"]
    expected = details["msg"] if kind == "wrong_type" else _expected_type(place, kind)
    return Problem(
        "wrong-type",
        f"{_label(place.path, what)} {_must_be(expected, place.node)}",
        _type_help(kind, place),
        span=place.span,
    )


def _wrong_option(place: Place, details: _Details, what: str) -> Problem:
    options = place.options
    word = place.node.value if place.node is not None else None
    help_ = None
    if place.path == ("archspec",):
        help_ = "this version of archspec reads version 1 of the language"
    elif isinstance(word, str) and len(word) <= MAX_NAME:
        help_ = did_you_mean(word, options)
    message = f"{_label(place.path, what)} {_must_be(_one_of(options), place.node)}"
    return Problem("wrong-value", message, help_, span=place.span)


def _out_of_limits(place: Place, details: _Details, what: str) -> Problem:
    name, relation = _LIMITS[details["type"]]
    limit = details["ctx"][name]
    expected = f"{relation} {int(limit) if limit == int(limit) else limit}"
    message = f"{_label(place.path, what)} {_must_be(expected, place.node)}"
    return Problem("wrong-value", message, span=place.span)


def _invalid_name(place: Place, details: _Details, what: str) -> Problem:
    word = place.key if place.is_key else _word(place.node or place.parent)
    help_ = "names stand in the emitted source, so they are identifiers such as `conv1`"
    tidy = re.sub(r"[^A-Za-z0-9_]+", "_", word[: 2 * MAX_NAME]).strip("_")
    usable = len(tidy) <= MAX_NAME and re.fullmatch(NAME_PATTERN, tidy) and not iskeyword(tidy)
    if usable and tidy != word:
        help_ = f"names are identifiers; for example `{tidy}`"
    written = f"`{shortened(word)}`" if word else "an empty text"
    message = f"{written} cannot be a name: {details['msg']}"
    return Problem("invalid-name", message, help_, span=place.span)


def _empty_list(place: Place, details: _Details, what: str) -> Problem:
    message = f"{_label(place.path, what)} is empty and needs at least one entry"
    return Problem("wrong-value", message, span=place.span)


def _wrong_value(place: Place, details: _Details, what: str) -> Problem:
    """A check of the language itself, whose message says what was expected."""
    message: str = details["msg"]
    label = _label(place.path, what)
    if details["type"] == "wrong_value" or message.startswith("expected "):
        message = f"{label} {_must_be(message.removeprefix('expected '), place.node)}"
    else:
        message = f"{label}: {message}"
    return Problem("wrong-value", message, span=place.span)


def _not_finite(place: Place, details: _Details, what: str) -> Problem:
    message = f"{_label(place.path, what)} {_must_be('a finite number', place.node)}"
    return Problem("wrong-value", message, span=place.span)


def _unusable(place: Place, details: _Details, what: str) -> Problem:
    message = f"{_label(place.path, what)} cannot be {_quoted(place.node)}"
    return Problem("wrong-value", message, span=place.span)


_HANDLERS: dict[str, Callable[[Place, _Details, str], Problem]] = {
    "extra_forbidden": _unknown_key,
    "missing": _missing_key,
    "missing_key": _missing_part,
    "union_tag_not_found": _missing_tag,
    "union_tag_invalid": _wrong_option,
    "literal_error": _wrong_option,
    "int_parsing_size": _wrong_option,  # a `Literal` and a number of more than 64 bits
    "invalid_name": _invalid_name,
    "wrong_type": _wrong_type,
    "wrong_value": _wrong_value,
    "spec": _wrong_value,
    "too_short": _empty_list,
    "finite_number": _not_finite,
    **dict.fromkeys(_TYPES, _wrong_type),
    **dict.fromkeys(_LIMITS, _out_of_limits),
}


def _label(path: tuple[str | int, ...], what: str) -> str:
    """The value at `path` of `what`: `weight_init.std` of layer `conv1`, entry 2 of `claims`."""
    words: list[str] = []
    label = ""
    for step in path:
        if isinstance(step, int):
            inside = f"`{'.'.join(words)}`" if words else ""
            label = f"entry {step + 1} of {inside}{_of(label)}"
            words = []
        else:
            words.append(shortened(step))
    if words:
        label = f"`{'.'.join(words)}`" + (f" in {label}" if label else "")
    if not label:
        return what
    return label if what == "the spec" else f"{label} of {what}"


def _of(label: str) -> str:
    return f" in {label}" if label else ""


def _one_of(options: list[str]) -> str:
    """`exact`, `floor` or `ceil`."""
    *others, last = (f"`{option}`" for option in options)
    return f"{', '.join(others)} or {last}" if others else last


def _must_be(expected: str, node: Node | None) -> str:
    """How a message goes on after the label: "must be at least 1, not `0`"."""
    text = shown(node)
    if node is not None and text == "empty":
        return f"is empty and must be {expected}"
    return f"must be {expected}" + (f", not {text}" if node is not None else "")


def _expected_type(place: Place, kind: str) -> str:
    if place.path[:1] == ("variables",) and len(place.path) == 2:
        return "a number, text, `true`, `false` or a list"
    if _TYPES[kind] == "a mapping" and len(place.models) > 1:
        short = "the name of an initialiser, or " if Zeros in place.models else ""
        return f"{short}a mapping with the key `type`"
    if _TYPES[kind] == "a mapping" and place.models:
        return f"a mapping with the keys {listing(place.models[0].model_fields)}"
    return _TYPES[kind]


def _about(place: Place) -> str | None:
    """What the key means, in the words of the schema."""
    field = place.model.model_fields.get(place.key) if place.model else None
    return field.description if field else None


def _type_help(kind: str, place: Place) -> str | None:
    value = place.node.value if place.node is not None else None
    if _TYPES.get(kind) == "a list" and isinstance(value, (str, int, float)):
        return f"write `{place.key}: [{shortened(_word(place.node or place.parent))}]`"
    if _TYPES.get(kind) == "a mapping" and not place.models:
        return _about(place)
    if isinstance(value, str):
        return _text_help(kind, value)
    if kind == "int_type" and isinstance(value, float):
        return f"write `{int(value)}`" if value.is_integer() else "give a number without fraction"
    if kind == "bool_type" and value in (0, 1):
        return f"write `{'true' if value else 'false'}`"
    if kind == "string_type" and value is not None:
        return f'write `"{_word(place.node or place.parent)}"` if a text is meant'
    return None


def _text_help(kind: str, text: str) -> str | None:
    """What to write instead of a text where a number or a truth value is expected."""
    if kind == "bool_type":
        word = {"yes": "true", "on": "true", "y": "true"}.get(text.lower())
        word = word or {"no": "false", "off": "false", "n": "false"}.get(text.lower())
        return f"write `{word}`: `{shortened(text)}` is a word in YAML 1.2" if word else None
    if re.fullmatch(r"[-+]?[0-9][0-9_, ]*(\.[0-9]*)?", text):
        return "write the number without quotes, underscores, spaces or commas"
    if "$" in text or re.search(r"[0-9] *[-+*/] *[0-9]", text):
        return f"write a calculation as `$(...)`: `{_calculation(text)}`"
    return None


def _calculation(text: str) -> str:
    """A text that was meant to be calculated, as an expression."""
    inside = shortened(text).removeprefix("$(").removesuffix(")")
    return f"$({inside.replace('$', '')})"


def _expectation(place: Place) -> str | None:
    """What a missing key takes, as far as its type tells."""
    if place.options:
        return f"`{place.key}` is {_one_of(place.options)}" if place.options[1:] else None
    if len(place.models) == 1:
        return f"`{place.key}` is a mapping with the keys {listing(place.models[0].model_fields)}"
    expected = next((_PLAIN.get(member) for member in members(place.annotation)), None)
    return f"`{place.key}` is {expected}" if expected else None


def _keys(place: Place) -> list[str]:
    return list(place.model.model_fields) if place.model is not None else []


def _beside(place: Place) -> tuple[str, ...]:
    """The keys that are read before the model's own: `when` and the like."""
    return getattr(place.model, "beside", ())


def _home(place: Place, key: str) -> str | None:
    """Where an unknown key would be known: one level further down."""
    for name, field in place.model.model_fields.items() if place.model is not None else ():
        if any(key in model.model_fields for model in models(field.annotation)):
            return f"`{shortened(key)}` is a key of `{name}`"
    return None


def _renamed(found: Iterable[tuple[Place, _Details]]) -> set[tuple[str | int, ...]]:
    """Where keys would stand that unknown ones probably mean."""
    return {
        (*place.path[:-1], word)
        for place, details in found
        if details["type"] == "extra_forbidden"
        for word in _BACKTICKS.findall(suggest_key(place.key, _keys(place)) or "")
    }
