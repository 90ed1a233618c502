"""Canonical type text, as the memory holds it, to and from what Julia people write.

Canonical text names everything by its full path (``Core.Array{Core.Int64, 1}``). Short text leaves
out what everyone knows and uses Julia's own aliases (``Vector{Int64}``).
"""

from __future__ import annotations

import re
from functools import lru_cache

# Types that Base exports; their path is left out.
_EXPORTED_TEXT = """
    AbstractChannel AbstractDict AbstractDisplay AbstractIrrational AbstractMatch AbstractMatrix
    AbstractPattern AbstractRange AbstractSet AbstractString AbstractUnitRange AbstractVecOrMat
    AbstractVector ArithmeticException BigFloat BigInt BitArray BitMatrix BitSet
    BitVector CartesianIndex CartesianIndices Cchar Channel CodeUnits Colon Complex ComplexF16
    ComplexF32 ComplexF64 CompositeException Condition Cstring DenseMatrix DenseVecOrMat DenseVector
    Dict DimensionMismatch DivideError EOFError Enum EvalError ExponentialBackOff
    HTML IO IOBuffer IOContext IOStream IdDict IndexCartesian IndexLinear IndexStyle
    InvalidStateException Irrational KeyError LinRange LinearIndices MIME Matrix Missing
    MissingException NTuple NonnegativeInt Pair PartialQuickSort PermutedDimsArray
    ProcessFailedException Rational RawFD ReentrantLock Ref Regex RegexMatch Returns RoundingMode
    Set Some StepRange StepRangeLen StridedArray StridedMatrix StridedVecOrMat StridedVector
    StringIndexError SubArray SubString SubstitutionString SystemError TaskFailedException Text
    TextDisplay Timer UnitRange Val VecElement VecOrMat Vector VersionNumber WeakKeyDict
    ComposedFunction AsyncCondition Base Docs Iterators Libc
"""
_EXPORTED = frozenset(_EXPORTED_TEXT.split())
# What Core does not export.
_CORE_OWN_TEXT = """
    AddrSpace Argument Binding Box Builtin CodeInfo CodeInstance Const GotoIfNot GotoNode
    IntrinsicFunction LineInfoNode MethodInstance MethodMatch NewvarNode PartialStruct PhiNode
    PiNode ReturnNode SSAValue SimpleVector SlotNumber TypeName TypedSlot TypeofBottom TypeofVararg
    UpsilonNode
"""
_CORE_OWN = frozenset(_CORE_OWN_TEXT.split())

_WORD = r"[^\W\d][\w!#′']*|#[\w!#]+"
_PATH = re.compile(
    rf"""(?P<skip>"(?:\\.|[^"\\])*"|'0x[0-9a-f]+')"""
    rf"""|(?P<path>(?:(?:{_WORD})\.)+)(?P<name>{_WORD}|[^\w\s(){{}},"'.\[\]]+)"""
)
_PLAIN_NAME = re.compile(r"[^\W\d][\w!]*\Z")
_OPENING, _CLOSING, _WHERE = "({[", ")}]", " where "
#: A tuple of names in a type as the memory writes it: always with a comma at its end.
_NAMES = re.compile(r"\{\((?P<names>(?::[^(),\"]+(?:, :[^(),\"]+)*)?),\)")
_ALIASES = {
    ("Array", "1"): "Vector",
    ("Array", "2"): "Matrix",
    ("AbstractArray", "1"): "AbstractVector",
    ("AbstractArray", "2"): "AbstractMatrix",
}

#: Binary operators that Julia prints between their arguments.
_OPERATORS_TEXT = (
    "+ - * / \\ ÷ % ^ == != < <= > >= === !== : | & ⊻ << >> >>> // => <: >: isa in ∈ ∉ ≤ ≥ ≠ ∘ ≈"
)
OPERATORS = frozenset(_OPERATORS_TEXT.split())


def split(text: str, separator: str = ",") -> list[str]:
    """Splits at separators outside brackets and strings; parts are stripped, empty ones dropped."""
    parts, depth, start, quoted, at = [], 0, 0, False, 0
    while at < len(text):
        char = text[at]
        if quoted:
            if char == "\\":
                at += 1
            elif char == '"':
                quoted = False
        elif char == '"':
            quoted = True
        elif char in _OPENING:
            depth += 1
        elif char in _CLOSING:
            depth -= 1
        elif char == separator and depth == 0:
            parts.append(text[start:at])
            start = at + 1
        at += 1
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]


def parameters(text: str) -> tuple[str, list[str] | None]:
    """``"Core.Array{Core.Int64, 1}"`` → ``("Core.Array", ["Core.Int64", "1"])``, or None.

    A trailing ``where {…}`` is left out.
    """
    text = without_where(text)
    if text.endswith("}") and "{" in text:
        head, _, rest = text.partition("{")
        return head, split(rest[:-1])
    return text, None


def without_where(text: str) -> str:
    """The text without a trailing ``where``."""
    return text[: _where_at(text)].strip()


def where_clause(text: str) -> str:
    """What stands after a trailing ``where``, "" without one."""
    return text[_where_at(text) + len(_WHERE) :].strip()


def _where_at(text: str) -> int:
    """Where the outermost ``where`` begins; the text's length if there is none."""
    if _WHERE not in text:
        return len(text)
    depth = 0
    for at, char in enumerate(text):
        if depth == 0 and text.startswith(_WHERE, at):
            return at
        depth += (char in _OPENING) - (char in _CLOSING)
    return len(text)


def tuple_parameters(text: str) -> list[str]:
    """The parameters of a tuple type's canonical text, ``[]`` if it is none."""
    head, found = parameters(text)
    return found or [] if head in ("Core.Tuple", "Tuple") else []


def function_path(parameter: str) -> str:
    """The full name of what a signature's first parameter stands for.

    ``typeof(Main.f)`` → ``Main.f``; ``Core.Type{Main.P}`` → ``Main.P``; else the type itself.
    """
    if parameter.startswith("typeof(") and parameter.endswith(")"):
        return parameter[7:-1]
    head, found = parameters(parameter)
    if head in ("Core.Type", "Type") and found and len(found) == 1:
        return parameters(found[0].removeprefix("<:"))[0]
    return head


@lru_cache(maxsize=65536)
def short(text: str) -> str:
    """Short text of a canonical type or lattice element."""
    return _aliased(_NAMES.sub(_short_names, _PATH.sub(_short_path, text)))


def _short_names(found: re.Match[str]) -> str:
    names = found["names"]
    return f"{{({names})" if not names or ", " in names else found[0]


def _short_path(found: re.Match[str]) -> str:
    if found["skip"]:
        return character(found["skip"]) if found["skip"].startswith("'") else found["skip"]
    path, name = found["path"], found["name"]
    function = found.string[: found.start()].endswith("typeof(")
    known = (
        path == "Main."
        or (path == "Core." and name not in _CORE_OWN)
        or (path == "Base." and (function or name in _EXPORTED))
    )
    shown = name if _PLAIN_NAME.match(name) or not name.startswith("#") else f'var"{name}"'
    return shown if known else path + shown


def character(text: str) -> str:
    """``'0x00000063'`` → ``'c'``."""
    bits = int(text.strip("'"), 16)
    raw = bits.to_bytes(4, "big").rstrip(b"\0") or b"\0"
    try:
        shown = raw.decode("utf-8")
    except UnicodeDecodeError:
        return text
    return repr(shown) if len(shown) == 1 else text


def _aliased(text: str) -> str:
    """Writes ``Array{T, 1}`` as ``Vector{T}`` and so on, innermost included."""
    for (name, count), alias in _ALIASES.items():
        at = 0
        while (at := text.find(name + "{", at)) >= 0:
            end = closing(text, at + len(name))
            inside = split(text[at + len(name) + 1 : end])
            if (at == 0 or not (text[at - 1].isalnum() or text[at - 1] in "_.")) and (
                len(inside) == 2 and inside[1] == count and end < len(text)
            ):
                text = f"{text[:at]}{alias}{{{inside[0]}}}{text[end + 1 :]}"
            at += 1
    return text


def closing(text: str, opening: int) -> int:
    """Where the bracket that opens there closes; the text's length if it does not."""
    depth = 0
    for at in range(opening, len(text)):
        depth += (text[at] in _OPENING) - (text[at] in _CLOSING)
        if depth == 0:
            return at
    return len(text)


def global_name(path: str, *, qualified: bool = True) -> str:
    """A global as Julia prints it: ``Main.f``, ``Main.:(var"#1#2")``, ``Base.:+``."""
    head, _, name = _last(path)
    shown = name
    if not _PLAIN_NAME.match(name):
        shown = f':(var"{name}")' if "#" in name else ":(:)" if name == ":" else f":{name}"
    return f"{head}.{shown}" if qualified and head else name


def _last(path: str) -> tuple[str, str, str]:
    """Splits a dotted path before its last name, which may be an operator with dots."""
    found = re.match(rf"((?:{_WORD})(?:\.(?:{_WORD}))*)\.(.+)\Z", path)
    return (found[1], ".", found[2]) if found else ("", "", path)


def method_path(key: str) -> str:
    """The function that the key of a method or of an instance begins with. (It may have spaces.)"""
    path, signature, _ = key.partition(" Core.Tuple{")
    return path if signature else key.partition(" ")[0]


def base_name(path: str) -> str:
    """``Main.A.f`` → ``f``."""
    return _last(path)[2]
