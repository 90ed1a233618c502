"""From a function's name as Julia people write it to method instances in the memory.

Understood: ``f``, ``Main.f``, ``f(::Int64)``, ``f(x::Int64)``, ``f(Int64)``,
``Base.sin(::Float64)``, ``var"a b"``, ``P{Int64}(::Int64)`` (a constructor), ``(::P)(::Int64)`` (a
call of a value of that type), ``Tuple{typeof(f), Int64}``, and an instance's own key. Types may be
written short (``Int``, ``Vector{Float64}``) or in full (``Core.Array{Core.Float64, 1}``).
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mmsb.base.errors import AmbiguousName, UnknownName, UsageError
from mmsb.base.model import CodeState, EventKind
from mmsb.query import missing
from mmsb.query.answers import Function
from mmsb.query.facts import Facts
from mmsb.query.juliatext import (
    base_name,
    function_path,
    method_path,
    parameters,
    short,
    split,
    tuple_parameters,
)

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
LISTED, NEAR, _WIDE = 8, 3, 60  # names of one error, near ones, and how much of each of these


_CALL = re.compile(
    r"""(?:\(::(?P<type>[^()]+)\)|(?P<name>(?:var"[^"]*"|[^({\s])+(?:\{[^()]*\})?))"""
    r"""\s*(?:\((?P<arguments>.*)\))?"""
)


@dataclass(frozen=True, slots=True)
class Written:
    """A name taken apart: the dotted name, the argument types if they were written, and the type of
    what is called where that is said."""

    text: str
    name: str
    arguments: tuple[str, ...] | None
    called: str | None = None


def parse(text: str) -> Written:
    """Takes a name apart. UsageError if it is no name."""
    stripped = _text(text).strip()
    if stripped.startswith(("Tuple{", "Core.Tuple{")):
        types = tuple_parameters(stripped)
        if types:
            return Written(text, function_path(types[0]), tuple(types[1:]), types[0])
    found = _CALL.fullmatch(stripped)
    if not stripped or found is None:
        raise UsageError(f"{text!r} is no function's name; write f, Main.f or f(::Int64)")
    called = found["type"]
    if called is not None:
        name = function_path(called)
    else:
        name = re.sub(r"var\"([^\"]*)\"", r"\1", found["name"]).replace(".:", ".").strip()
        if name.endswith("}") and "{" in name:
            called, name = f"Type{{{name}}}", parameters(name)[0]
    if found["arguments"] is None:
        return Written(text, name, None, called)
    arguments = split(found["arguments"])
    values = [(argument, _type_of_value(argument)) for argument in arguments]
    if any(type_ for _, type_ in values):
        wanted = ", ".join(type_ or argument for argument, type_ in values)
        raise UsageError(f"{text!r} has values where types are wanted: {found['name']}({wanted})")
    return Written(text, name, tuple(map(_argument, arguments)), called)


def _text(name: Any) -> str:
    if not isinstance(name, str):
        raise UsageError(f"a function is asked for by its name, as f(::Int64), not {name!r:.60}")
    return name


def _type_of_value(text: str) -> str | None:
    """The type of a value as people write it, None for what may be a type."""
    return next((name for name, form in _VALUES.items() if re.fullmatch(form, text)), None)


def _argument(text: str) -> str:
    """``x::Int64``, ``::Int64`` and ``Int64`` are all ``Int64``."""
    head, colons, tail = text.partition("::")
    return tail.strip() if colons and "{" not in head else text


def instances(facts: Facts, text: str) -> tuple[Function, ...]:
    """Every instance that fits the name, in order of first mention; UnknownName if none does."""
    exact = facts.by_key.get(_text(text))
    if exact is not None:
        return (exact,)
    written = parse(text)
    found = _fitting(facts, written) or _fitting(facts, written, varargs=True)
    if not found:
        raise UnknownName(_unknown(facts, written))
    return found


def _fitting(facts: Facts, written: Written, *, varargs: bool = False) -> tuple[Function, ...]:
    """What the recording is about comes before what it only met on the way."""
    found = [f for f in facts.functions if fits(written, f, varargs=varargs)]
    if written.called is None:  # a type's name is its constructors', if it has any
        found = [f for f in found if not f.name.startswith("(::")] or found
    found = [f for f in found if f.name == written.text.strip()] or found
    return tuple(f for f in found if f.in_scope) or tuple(found)


def resolve(facts: Facts, text: str) -> tuple[Function, tuple[Function, ...]]:
    """The one instance a name stands for, and others that are written the same.

    Of instances with equal types (their method was succeeded by a more specific one) the one whose
    code is valid as of the epoch is taken, else the one seen last. AmbiguousName, UnknownName.
    """
    found = instances(facts, text)
    names = {function.name for function in found}
    if len(names) > 1:
        raise AmbiguousName(
            f"{text!r} fits {len(names)} functions: {_listed(sorted(names))}; say which"
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
    if written.arguments is None:
        return True
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


def _spread(types: list[str], count: int) -> list[str]:
    """Parameters with a last ``Vararg{T}`` written out to ``count`` arguments."""
    head, inside = parameters(types[-1]) if types else ("", None)
    if head not in ("Vararg", "Core.Vararg") or not inside or len(inside) != 1:
        return types
    return types[:-1] + inside * (count - len(types) + 1)


def key_types(key: str) -> list[str]:
    """The parameters of the tuple type that ends an instance's key; the first is the function."""
    return tuple_parameters(key.rpartition(" @ ")[2])


def callee_name(key: str) -> str:
    """A readable name out of the key of a method, or of an instance that is not in the memory."""
    path = method_path(key)
    signature = key[len(path) + 1 :]
    types = key_types(key) or tuple_parameters(signature)
    if key.startswith("Tuple{"):  # a line of --trace-compile, of an incomplete recording
        path = function_path(types[0]) if types else key
    if not types:
        return short(path)
    return f"{short(path)}({', '.join(f'::{short(item)}' for item in types[1:])})"


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
    actual_head, actual_given = parameters(actual)
    if not _same_path(head, actual_head) and head != short(actual_head):
        return False
    if given is None:
        return True
    if actual_given is None or len(given) != len(actual_given):
        return False
    if head == "Union":
        given, actual_given = sorted(given, key=base_name), sorted(actual_given, key=base_name)
    return all(same_type(a, b) for a, b in zip(given, actual_given, strict=True))


def _unknown(facts: Facts, written: Written) -> str:
    known = _known_otherwise(facts, written)
    if known:
        return known
    near = near_names(facts, written)[:NEAR]
    hint = f"near it: {', '.join(map(_cut, near))}; " if near else ""
    return (
        f"no function {written.text!r} at epoch {facts.epoch}; {hint}"
        "`mmsb stats --functions` lists all"
    )


def _known_otherwise(facts: Facts, written: Written) -> str:
    """What is known of a function without an instance, and why no more is; "" for nothing."""
    compiled = [e.subject for e in facts.events if e.kind is EventKind.COMPILED]
    named = next((key for key in compiled if fits_key(written, key)), None)
    if named is not None:
        why = missing.incomplete(facts.head.recording)
        since = f", since {why}" if why else ""
        return f"of {callee_name(named)} only its compilation is known{since}"
    defined = next((key for key in facts.methods if fits_key(written, key)), None)
    if defined is not None:
        name = callee_name(defined)
        return f"of {name} only its definition is known at epoch {facts.epoch}, no code of it"
    return ""


def fits_key(written: Written, key: str) -> bool:
    """Whether a method's or an instance's key is one that the name stands for."""
    method, _, types = key.partition(" @ ")
    if "Tuple{" not in key:  # a package, a global
        return False
    whole = key
    if not types and not key.startswith("Tuple{"):
        whole = f"{key} @ {key[len(method_path(key)) + 1 :]}"
    return fits(written, Function("", whole, method, "", 0))


def wanted(given: Iterable[str]) -> Callable[[str], bool]:
    """Says of a subject whether it is, or is the key of, one of the functions. UsageError."""
    names = (given,) if isinstance(given, str) else tuple(given)
    exact = frozenset(names)
    written = tuple(parse(name) for name in names if " @ " not in name)
    known: dict[str, bool] = {}

    def fit(subject: str) -> bool:
        if subject not in known:
            known[subject] = subject in exact or any(fits_key(one, subject) for one in written)
        return known[subject]

    return fit


def _cut(name: str) -> str:
    """A name as a shell takes it; only looked at where it is too long."""
    return shlex.quote(name) if len(name) <= _WIDE else f"{name[: _WIDE - 1]}…"


def near_names(facts: Facts, written: Written) -> list[str]:
    """Display names that a mistaken name may have meant: those of this very name first, then the
    program's own, nearest first."""
    wanted = base_name(written.name).lower()
    by_name: dict[str, list[Function]] = {}
    for function in facts.functions:
        plain = base_name(method_path(function.method))
        by_name.setdefault(plain.lower(), []).append(function)
    close = difflib.get_close_matches(wanted, by_name, n=len(by_name) or 1, cutoff=0.6)
    inside = [name for name in sorted(by_name) if wanted in name and wanted]
    ordered = dict.fromkeys([*(n for n in (wanted,) if n in by_name), *close, *inside])
    found = [(key != wanted, function) for key in ordered for function in by_name[key]]
    found.sort(key=lambda pair: (pair[0], not pair[1].is_users))
    return list(dict.fromkeys(function.name for _, function in found))


def _listed(names: Sequence[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(map(shlex.quote, names[:LISTED])) + (f" and {more} more" if more > 0 else "")
