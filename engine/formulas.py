"""Every formula of the risk core by name, called with plain values: what `perpwatch risk formula` and scripts go through.

>>> plain(call("margin.liquidation_price.okx", {"entry": 10, "size": 1, "margin": 2, "rate": "0.01", "taker_fee": "0.0006",
...                                             "is_long": True}))
8.085708510208207
"""

from __future__ import annotations

import enum
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final

import msgspec

from engine import bounds, fees
from engine.cascade import clearing, exits
from engine.exact import exact
from engine.liquidation import adl, disposal, fund, proceeds, socialise
from engine.margin import band, ladder, liquidation_price, portfolio, requirements, states
from engine.margin.ladder import Ladder, make_ladder
from engine.prices import funding, index, mark

_MODULES: Final = (
    fees, bounds, ladder, liquidation_price, requirements, portfolio, band, states, index, mark, funding, proceeds, disposal,
    fund, adl, socialise, clearing, exits,
)  # fmt: skip
_NO_FORMULAS: Final = ("margin.ladder.ladder_table", "margin.states.limits", "cascade.exits.orderly_exits")
"""The tables of kernels, and what looks at a whole venue."""

FORMULAS: Final[Mapping[str, Callable[..., object]]] = {
    place: function
    for module in _MODULES
    for name, function in vars(module).items()
    if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_")
    for place in [f"{module.__name__.removeprefix('engine.')}.{name}"]
    if place not in _NO_FORMULAS
}
"""By the place where it stands: `margin.liquidation_price.okx` is `engine.margin.liquidation_price.okx`."""


class FormulaError(ValueError):
    """A formula or an argument that is none; says which, and what would be right."""


def call(name: str, arguments: Mapping[str, object], ladder_named: Callable[[str], Ladder] | None = None) -> object:
    """The formula's result.

    Args:
        name: of `FORMULAS`.
        arguments: by parameter: numbers (or their text), booleans, text, lists, objects by field. A ladder is a list of
            [floor, initial rate, maintenance rate], or a name.
        ladder_named: what finds a ladder by its name.

    Raises:
        FormulaError: no such formula or parameter, one that is missing, or a value that is none.
    """
    if name not in FORMULAS:
        raise FormulaError(f"there is no formula {name!r}")
    function = FORMULAS[name]
    hints = typing.get_type_hints(function)
    parameters = inspect.signature(function).parameters
    for key in arguments:
        if key not in parameters:
            raise FormulaError(f"{name} has no parameter {key!r}, but {', '.join(parameters)}")
    missing = [key for key, parameter in parameters.items() if key not in arguments and parameter.default is parameter.empty]
    if missing:
        raise FormulaError(f"{name} also needs {', '.join(missing)}")
    try:
        values = {key: _value(value, hints[key], key, ladder_named) for key, value in arguments.items()}
        positional = [
            values.pop(key)
            for key, parameter in parameters.items()
            if key in values and parameter.kind is parameter.POSITIONAL_ONLY
        ]
        return function(*positional, **values)
    except KeyError as error:
        raise FormulaError(f"{name}: nothing is given for {error}") from error
    except (ValueError, ArithmeticError, IndexError, TypeError) as error:
        raise FormulaError(f"{name}: {error}") from error


def arguments_of(pairs: Iterable[str]) -> dict[str, object]:
    """`key=value` texts as arguments: a value is JSON, or else the text as it stands.

    >>> arguments_of(["size=0.1", "is_long=true", "rank=bitmex", "lots=[1, 2]"])
    {'size': '0.1', 'is_long': True, 'rank': 'bitmex', 'lots': [1, 2]}

    Raises:
        FormulaError: no `key=`, or a key that comes twice.
    """
    found: dict[str, object] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key or key in found:
            raise FormulaError(f"{pair!r} must be <parameter>=<value>, each parameter once")
        try:
            value = msgspec.json.decode(text)
        except msgspec.DecodeError:
            value = text
        # A decimal stays as it was written, so that no binary fraction stands between.
        found[key] = text if isinstance(value, float) else value
    return found


def signature(name: str) -> str:
    """The formula's parameters and result in words, for a list of them."""
    text = str(inspect.signature(FORMULAS[name])).replace("'", "")
    return text.replace("engine.margin.ladder.", "")


def plain(result: object) -> object:
    """A result as JSON has it: Fractions as the nearest float, tuples with names as objects."""
    if isinstance(result, Fraction):
        return float(result)
    if isinstance(result, enum.Enum):
        return result.name
    if isinstance(result, msgspec.Struct):
        return {name: plain(getattr(result, name)) for name in result.__struct_fields__}
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        return {name: plain(value) for name, value in zip(result._fields, result, strict=True)}
    if isinstance(result, Mapping):
        return {str(plain(key)): plain(value) for key, value in result.items()}
    if isinstance(result, (tuple, list)):
        return [plain(value) for value in result]
    if isinstance(result, bytes):
        return result.hex()
    return result


def _value(value: object, hint: object, name: str, ladder_named: Callable[[str], Ladder] | None) -> object:
    """What a parameter of this type takes, made of plain values."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        if Decimal in inner:
            if not isinstance(value, (int, float, str, Decimal, Fraction)):
                raise ValueError(f"{name} is {value!r}, it must be a number")
            return exact(value, name)
        rest = [part for part in inner if part is not type(None)]
        return _value(value, rest[0], name, ladder_named)
    if hint is Ladder:
        return _ladder(value, name, ladder_named)
    if origin is typing.Literal:
        if value not in inner:
            raise ValueError(f"{name} is {value!r}, it must be one of {', '.join(map(str, inner))}")
        return value
    if origin in (Mapping, dict):
        return _mapping(value, inner, name, ladder_named)
    if origin in (Sequence, Iterable, list):
        return [_value(part, inner[0], f"{name}[{n}]", ladder_named) for n, part in enumerate(_listed(value, name))]
    if origin is tuple:
        parts = _listed(value, name)
        if len(inner) == 2 and inner[1] is Ellipsis:
            inner = (inner[0],) * len(parts)
        if len(parts) != len(inner):
            raise ValueError(f"{name} has {len(parts)} parts, it must have {len(inner)}")
        pairs = zip(parts, inner, strict=True)
        return tuple(_value(part, kind, f"{name}[{n}]", ladder_named) for n, (part, kind) in enumerate(pairs))
    if isinstance(hint, type) and (issubclass(hint, msgspec.Struct) or hasattr(hint, "_fields")):
        return _record(value, hint, name, ladder_named)
    return _simple(value, hint, name)


def _simple(value: object, hint: object, name: str) -> object:
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        try:
            return hint[str(value).upper()]
        except KeyError:
            raise ValueError(f"{name} is {value!r}, it must be one of {', '.join(hint.__members__)}") from None
    if hint is Fraction:
        return exact(value, name)  # type: ignore[arg-type]
    if hint is int:
        number = exact(value, name)  # type: ignore[arg-type]
        if number.denominator != 1:
            raise ValueError(f"{name} is {value!r}, it must be a whole number")
        return int(number)
    if hint is bool and not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}, it must be true or false")
    if hint is bytes:
        return str(value).encode()
    return value


def _listed(value: object, name: str) -> Sequence[object]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{name} is {value!r}, it must be a list")
    return value


def _mapping(value: object, inner: tuple[object, ...], name: str, ladder_named: Callable[[str], Ladder] | None) -> object:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is {value!r}, it must be an object")
    # A pair of names is a key "one,other".
    keys = {key: tuple(str(key).split(",")) if typing.get_origin(inner[0]) is tuple else key for key in value}
    return {keys[key]: _value(part, inner[1], f"{name}.{key}", ladder_named) for key, part in value.items()}


def _record(value: object, hint: type, name: str, ladder_named: Callable[[str], Ladder] | None) -> object:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is {value!r}, it must be an object")
    hints = typing.get_type_hints(hint)
    fields = [field for field in hints if not field.startswith("_")]
    for key in value:
        if key not in fields:
            raise ValueError(f"{name} has no field {key!r}, but {', '.join(fields)}")
    return hint(**{str(key): _value(part, hints[str(key)], f"{name}.{key}", ladder_named) for key, part in value.items()})


def _ladder(value: object, name: str, ladder_named: Callable[[str], Ladder] | None) -> Ladder:
    if isinstance(value, Ladder):
        return value
    if isinstance(value, str):
        if ladder_named is None:
            raise ValueError(f"{name} is {value!r}, it must be a list of [floor, initial rate, maintenance rate]")
        return ladder_named(value)
    rows = []
    for number, row in enumerate(_listed(value, name), 1):
        parts = _listed(row, f"{name}, tier {number}")
        if len(parts) != 3:
            raise ValueError(f"{name}, tier {number} must be [floor, initial rate, maintenance rate]")
        rows.append((exact(parts[0], "floor"), exact(parts[1], "initial rate"), exact(parts[2], "maintenance rate")))  # type: ignore[arg-type]
    return make_ladder(name, rows)
