"""From the keys of methods and instances to names as Julia people write them.

A name that is printed can be asked about: `mmsb.query.names` is the way back.
"""

from __future__ import annotations

import re

from mmsb.query.juliatext import (
    base_name,
    function_path,
    method_path,
    parameters,
    short,
    split,
    tuple_parameters,
    where_clause,
)

_ODD = re.compile(r"[\s(){}\[\],;\"]|\A#")  # what makes a name no identifier
_BARE = re.compile(r"(?<![\w.\"!?#])#[^(){},\s]+")  # such a name without its module
_BOUND = re.compile(r"[<>]:")
_HOMES = ("Main", "Base", "Core")  # modules that are left out before a function's name


def key_types(key: str) -> list[str]:
    """The parameters of the tuple type that ends an instance's key; the first is the function."""
    return tuple_parameters(key.rpartition(" @ ")[2])


def signature(key: str) -> str:
    """The tuple type of an instance's key, or of a method's; "" of what is neither."""
    _, separator, types = key.rpartition(" @ ")
    if separator or key.startswith(("Tuple{", "Core.Tuple{")):
        return types
    return key[len(method_path(key)) + 1 :]


def callee_name(key: str) -> str:
    """The name of a method, or of an instance that is not in the memory.

    ``h(::T) where T<:Integer`` as Julia prints a method; of a function that is known by its type
    alone ``+(…)``.
    """
    if key.startswith("typeof(") and key.endswith(")"):
        return f"{function_name(key[7:-1])}(…)"
    whole = signature(key)
    types = tuple_parameters(whole)
    if not types:
        return short(method_path(key))  # a package, a global
    arguments = ", ".join(f"::{short(item)}" for item in types[1:])
    return f"{_called(key, types[0])}({arguments}){_where(whole)}"


def instance_name(recorded: str, key: str) -> str:
    """An instance's name: as it was recorded, in the spelling of all names."""
    text = short(_BARE.sub(lambda found: f'var"{found[0]}"', recorded))
    types = key_types(key)
    if types and _is_closure(types[0]) and parameters(types[0])[1]:  # of what it holds
        text = f"(::{short(types[0])}){text[text.index('(') :]}"
    if types and _is_part(types[0]):
        text = f"{_called(key, types[0])}{text[text.index('(') :]}"
    return text + _where(key.rpartition(" @ ")[2])


def function_name(path: str) -> str:
    """A function's path as people write it: ``Base.+`` is ``+``, ``Main.#2`` ``var"#2"``."""
    name = base_name(path)
    home = path[: -len(name) - 1] if len(name) < len(path) else ""
    shown = f'var"{name}"' if _ODD.search(name) else name
    return shown if home in ("", *_HOMES) else f"{home}.{shown}"


def _called(key: str, called: str) -> str:
    """What stands before the arguments: a function, a type that is made, a value of a type."""
    head, inside = parameters(called)
    if called.startswith("typeof("):
        return function_name(function_path(called))
    if head in ("Core.Type", "Type") and inside and len(inside) == 1:
        made, given = parameters(inside[0])
        if given and len(given) != len(where_bounds(inside[0])):
            kept = ", ".join(given[: len(given) - free_parameters(inside[0])])
            return short(f"{made}{{{kept}}}").replace(", ", ",")
        return function_name(made) if "." in made else f"(::{short(called)})"
    if _is_closure(called) and (" @ " not in key or not inside) and " Core.Tuple{" in key:
        return function_name(method_path(key))
    return f"(::{short(called)})".replace(", ", ",")


def _is_part(called: str) -> bool:
    """Whether it is a type of which some parameters are free, and some are not."""
    head, inside = parameters(called)
    if head not in ("Core.Type", "Type") or not inside or len(inside) != 1:
        return False
    return 0 < len(where_bounds(inside[0])) != len(parameters(inside[0])[1] or ())


def free_parameters(type_: str) -> int:
    """How many parameters at a type's end are its own type variables, which Julia leaves out:
    ``P{Int64, B} where B`` is ``P{Int64}``."""
    given = parameters(type_)[1] or []
    free = [_BOUND.split(bound)[0] for bound in where_bounds(type_)]
    return len(free) if free and given[-len(free) :] == free else 0


def _is_closure(called: str) -> bool:
    return base_name(parameters(called)[0]).startswith("#")


def _where(types: str) -> str:
    """`` where T<:Integer``, `` where {T, S<:AbstractVector{T}}``; "" without type variables."""
    bounds = [short(bound) for bound in where_bounds(types)]
    if not bounds:
        return ""
    return f" where {bounds[0]}" if len(bounds) == 1 else f" where {{{', '.join(bounds)}}}"


def where_bounds(types: str) -> list[str]:
    """The type variables of a tuple type, outermost first, with their bounds."""
    clause = where_clause(types)
    return split(clause[1:-1] if clause.startswith("{") else clause)
