"""From a function's name as Julia people write it to method instances in the memory.

Understood: ``f``, ``Main.f``, ``f(::Int64)``, ``f(x::Int64)``, ``f(Int64)``,
``Base.sin(::Float64)``, ``var"a b"``, ``P{Int64}(::Int64)`` (a constructor), ``(::P)(::Int64)`` (a
call of a value of that type), ``Tuple{typeof(f), Int64}``, and an instance's own key; a method,
which stands for its instances: ``f(::Any)``, ``h(::T) where T<:Integer``; an instance of one of
several methods, ``f(::Int64) of f(::Any)``. Types may be written short (``Int``,
``Vector{Float64}``) or in full (``Core.Array{Core.Float64, 1}``).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from mmsb.base.errors import AmbiguousName, UnknownName, UsageError, quote
from mmsb.base.model import CodeState
from mmsb.memory import asked
from mmsb.query import unknown
from mmsb.query.answers import Function
from mmsb.query.facts import Facts
from mmsb.query.juliatext import (
    base_name,
    closing,
    function_path,
    method_path,
    parameters,
    short,
    split,
    tuple_parameters,
    without_where,
)
from mmsb.query.spelling import callee_name, free_parameters, key_types, signature, where_bounds

_ALIASES = {
    "Int": "Int64",
    "UInt": "UInt64",
    "Vector": "Array{_,1}",
    "Matrix": "Array{_,2}",
    "AbstractVector": "AbstractArray{_,1}",
    "AbstractMatrix": "AbstractArray{_,2}",
    "ComplexF64": "Complex{Float64}",
    "ComplexF32": "Complex{Float32}",
}
#: Values that are written where types are wanted.
_VALUES = {
    "Int64": r"[+-]?\d+",
    "Float64": r"[+-]?(\d+\.\d*|\.\d+)(e[+-]?\d+)?|[+-]?\d+e[+-]?\d+",
    "String": r'".*"',
    "Char": r"'.*'",
    "Bool": r"true|false",
    "Symbol": r":\w+",
    "Nothing": r"nothing",
}
LISTED = 8  # names of one error
_BOUND = re.compile("<:")
_NAME = re.compile(r"""(?:var"[^"]*"|[^({\s])+""")


@dataclass(frozen=True, slots=True)
class Written:
    """A name taken apart: the dotted name, and where they were written the argument types, the type
    of what is called, the type variables with their bounds."""

    text: str
    name: str
    arguments: tuple[str, ...] | None
    called: str | None = None
    where: tuple[str, ...] | None = None


def parse(text: str) -> Written:
    """Takes a name apart. UsageError if it is no name."""
    stripped = checked(text).strip()
    where = tuple(where_bounds(stripped)) or None
    if stripped.startswith(("Tuple{", "Core.Tuple{")):
        types = tuple_parameters(stripped)
        if types:
            return Written(text, function_path(types[0]), tuple(types[1:]), types[0], where)
    head, arguments = _arguments(text, without_where(stripped))
    called = None
    if head.startswith("(::"):
        called = head[3:-1]
        name = function_path(called)
    else:
        name = re.sub(r"var\"([^\"]*)\"", r"\1", head).replace(".:", ".").strip()
        if name.endswith("}") and "{" in name:
            called, name = f"Type{{{name}}}", parameters(name)[0]
    if arguments is None:
        return Written(text, name, None, called, where)
    given = split(arguments)
    values = [(argument, _type_of_value(argument)) for argument in given]
    if any(type_ for _, type_ in values):
        rather = f"{head}({', '.join(type_ or argument for argument, type_ in values)})"
        raise UsageError(f"{quote(text)} has values where types are wanted: {rather:.200}")
    return Written(text, name, tuple(map(_argument, given)), called, where)


def _arguments(asked: str, text: str) -> tuple[str, str | None]:
    """What is called, and what stands in the parentheses behind it; None: none, or ``f(…)``."""
    found = _NAME.match(text)
    end = found.end() if found else 0
    if text.startswith("(::") or (end and text[end:].startswith("{")):
        end = closing(text, end) + 1
    head, rest = text[:end], text[end:].strip()
    if head and rest in ("", "(…)"):
        return head, None
    if "…" in text.replace("(…)", ""):
        raise UsageError(
            f"{quote(asked)} was cut at …; it is whole where it was printed through a pipe "
            "(| less -S) or with --json, and `mmsb stats --functions | less -S` lists all"
        )
    if not head or rest[0] != "(" or closing(rest, 0) != len(rest) - 1:
        raise UsageError(f"{quote(asked)} is no function's name; write f, Main.f or f(::Int64)")
    return head, rest[1:-1]


def checked(name: Any) -> str:
    """A name that is a text; UsageError."""
    if not isinstance(name, str):
        raise UsageError(f"a function is asked for by its name, as f(::Int64), not {quote(name)}")
    return name


def _type_of_value(text: str) -> str | None:
    """The type of a value as people write it, None for what may be a type."""
    return next((name for name, form in _VALUES.items() if re.fullmatch(form, text)), None)


def _argument(text: str) -> str:
    """``x::Int64``, ``::Int64`` and ``Int64`` are all ``Int64``."""
    head, colons, tail = text.partition("::")
    return tail.strip() if colons and "{" not in head else text


def instances(facts: Facts, text: str, also: Iterable[str] = ()) -> tuple[Function, ...]:
    """Every instance that fits the name, in order of first mention; UnknownName if none does.

    A method's name stands for its instances. ``also``: keys of functions, without an instance in
    the memory, that may be meant too.
    """
    known = [*facts.functions, *(mention(key) for key in also if key not in facts.by_key)]
    exact = [f for f in known if f.key == checked(text)]
    found = exact or [f for f in known if f.name == text.strip()] or _told_apart(known, text)
    if not found:
        written = parse(text)
        found = (
            _fitting(known, written)
            or _fitting(known, written, varargs=True)
            or [f for f in known if fits_key(written, f.method)]
        )
    if not found:
        raise UnknownName(unknown.sentence(facts, text, written.name, partial(meant_by, written)))
    # what the recording is about comes before what it only met on the way
    return tuple(f for f in found if f.in_scope) or tuple(found)


def _told_apart(known: Sequence[Function], text: str) -> list[Function]:
    """By the types in full; ``f(::Int64) of f(::Any)``: by name, that of one method."""
    name, of, method = (part.strip() for part in checked(text).rpartition(" of "))
    if not of:
        return [f for f in known if method and signature(f.key) == method]
    return [f for f in known if f.name == name and callee_name(f.method) == method]


def mention(key: str) -> Function:
    """A function that is named, and not in the memory."""
    return Function(callee_name(key), key, key.partition(" @ ")[0], "", None)


def _fitting(
    known: Sequence[Function], written: Written, *, varargs: bool = False
) -> list[Function]:
    found = [f for f in known if fits(written, f, varargs=varargs)]
    if written.called is None:  # a type's name is its constructors', if it has any
        found = [f for f in found if not f.name.startswith("(::")] or found
    return found


def resolve(facts: Facts, text: str) -> tuple[Function, tuple[Function, ...]]:
    """The one instance a name stands for, and others that are written the same.

    Of instances with equal types (their method was succeeded by a more specific one) the one whose
    code is valid as of the epoch is taken, else the one seen last. AmbiguousName, UnknownName.
    """
    found = instances(facts, text)
    names = {function.name for function in found}
    if len(names) > 1:
        raise AmbiguousName(
            f"{quote(text)} fits {len(names)} functions: {listed(sorted(names))}; say which"
        )
    if len(found) == 1:
        return found[0], ()
    chosen = max(found, key=lambda function: _currency(facts, function))
    return chosen, tuple(function for function in found if function is not chosen)


def _currency(facts: Facts, function: Function) -> tuple[bool, int]:
    events = facts.stage_events.get(function.key)
    codes = facts.codes(function.key)
    valid = any(code.state is CodeState.VALID for code in codes)
    return valid, events[-1].row if events else -1


def fits(written: Written, function: Function, *, varargs: bool = False) -> bool:
    """Whether an instance is one that the name stands for; with ``varargs`` also one whose last
    ``Vararg{T}`` takes what is written."""
    called = key_types(function.key)
    if written.called is not None:
        if not called or not _same_called(written.called, called[0]):
            return False
    elif not any(_same_path(written.name, path) for path in _paths(function, called)):
        return False
    if written.where is not None and not _same_where(written.where, signature(function.key)):
        return False
    if written.arguments is None:
        return True
    if not called:  # a function that is known by its type alone
        return False
    given = _spread(called[1:], len(written.arguments)) if varargs else called[1:]
    return len(given) == len(written.arguments) and all(
        same_type(asked, actual) for asked, actual in zip(written.arguments, given, strict=True)
    )


def _same_called(asked: str, actual: str) -> bool:
    """Whether what is called is of the type that was written."""
    if asked.startswith("typeof(") != actual.startswith("typeof("):
        return False
    if asked.startswith("typeof("):
        return _same_path(function_path(asked), function_path(actual))
    return same_type(asked, actual)


def _same_where(asked: Sequence[str], types: str) -> bool:
    """Whether type variables and bounds are those that were written, in their order."""
    given = [_BOUND.split(bound) for bound in where_bounds(types)]
    wanted = [_BOUND.split(bound) for bound in asked]
    return list(map(len, wanted)) == list(map(len, given)) and all(
        same_type(a, b)
        for pair in zip(wanted, given, strict=True)
        for a, b in zip(*pair, strict=True)
    )


def _spread(types: list[str], count: int) -> list[str]:
    """Parameters with a last ``Vararg{T}`` written out to ``count`` arguments."""
    head, inside = parameters(types[-1]) if types else ("", None)
    if head not in ("Vararg", "Core.Vararg") or not inside or len(inside) != 1:
        return types
    return types[:-1] + inside * (count - len(types) + 1)


def _paths(function: Function, called: Sequence[str]) -> Iterable[str]:
    yield method_path(function.method)
    if called:
        yield function_path(called[0])


def _same_path(asked: str, actual: str) -> bool:
    """``f`` and ``A.f`` are ``Main.A.f``; ``B.f`` is not."""
    return asked == actual or actual.endswith("." + asked)


def same_type(asked: str, actual: str) -> bool:
    """Whether a type as people write it is the canonical one; unwritten parameters fit any."""
    head, given = parameters(asked)
    alias = _ALIASES.get(head.removeprefix("Base.").removeprefix("Core."))
    if alias is not None:
        head, fixed = parameters(alias)
        if fixed is not None:
            given = [(given or ["_"])[0] if item == "_" else item for item in fixed]
    if head == "_":
        return True
    if head.startswith("(") and actual.startswith("("):  # the names of a NamedTuple
        return split(head[1:-1]) == split(actual[1:-1])
    actual_head, actual_given = parameters(actual)
    if not _same_path(head, actual_head) and head != short(actual_head):
        return False
    if given is None:
        return True
    if actual_given is None:
        return False
    if len(given) == len(actual_given) - free_parameters(actual):  # Julia leaves free ones out
        actual_given = actual_given[: len(given)]
    if len(given) != len(actual_given):
        return False
    if head == "Union":
        given, actual_given = sorted(given, key=base_name), sorted(actual_given, key=base_name)
    return all(same_type(a, b) for a, b in zip(given, actual_given, strict=True))


def meant_by(written: Written, key: str) -> bool:
    """As `fits_key`; also of an instance whose method is, and where the name is the key's own."""
    own, text = (key, key.partition(" @ ")[0]), written.text.strip()
    return any(fits_key(written, one) or callee_name(one) == text for one in own)


def fits_key(written: Written, key: str) -> bool:
    """Whether a method's or an instance's key is one that the name stands for."""
    method, _, types = key.partition(" @ ")
    if key.startswith("typeof("):
        return fits(written, Function("", "", function_path(key), "", 0))
    if "Tuple{" not in key:  # a package, a global
        return False
    whole = key
    if not types and not key.startswith("Tuple{"):
        whole = f"{key} @ {signature(key)}"
    return fits(written, Function("", whole, method, "", 0))


def wanted(given: Iterable[str]) -> Callable[[str], bool]:
    """Says of a subject whether it is, or is the key of, one of the functions. UsageError."""
    names = (given,) if isinstance(given, str) else asked.texts(given)
    for name in names:
        asked.text(name, "a function's name")
    exact = frozenset(names)
    written = tuple(parse(name) for name in names if " @ " not in name)
    known: dict[str, bool] = {}

    def fit(subject: str) -> bool:
        if subject not in known:
            known[subject] = subject in exact or any(fits_key(one, subject) for one in written)
        return known[subject]

    return fit


def listed(names: Sequence[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(map(shlex.quote, names[:LISTED])) + (f" and {more} more" if more > 0 else "")
