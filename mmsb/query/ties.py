"""Who is tied to whom, as graphs whose nodes are keys: what the questions about reach stand on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mmsb.base import schema
from mmsb.base.errors import UnknownName
from mmsb.base.model import NONE_U32, UNSET_U8, CallKind, CodeState, Dependency, Lattice, Stage
from mmsb.base.schema import staged
from mmsb.graph.adjacency import Graph
from mmsb.graph.nodes import Nodes
from mmsb.memory.cells import Array
from mmsb.query.facts import Facts
from mmsb.query.juliatext import parameters, tuple_parameters
from mmsb.query.spelling import key_types

#: How a function calls another, nearest to the machine first. The last two are what inference found
#: of code whose final form is not known: one method, several.
INVOKED, DYNAMIC, INLINED, SPLIT = "invoke", "dynamic dispatch", "inlined", "split or inlined"
RESOLVED, UNRESOLVED = "resolved", "unresolved"
_ORDER = (INVOKED, DYNAMIC, INLINED, SPLIT, RESOLVED, UNRESOLVED)
_IN_FINAL = {RESOLVED: INLINED, UNRESOLVED: SPLIT}
_HOW = {
    CallKind.INVOKE: INVOKED,
    CallKind.DYNAMIC: DYNAMIC,
    CallKind.INLINED: INLINED,
    CallKind.RESOLVED: RESOLVED,
    CallKind.UNRESOLVED: UNRESOLVED,
}
_CODE = (Dependency.CODE, Dependency.INVOKE)


class Keys(Nodes):
    """Nodes that are keys of methods, of instances, or other texts."""

    def __init__(self, keys: Iterable[str]) -> None:
        self.keys = tuple(dict.fromkeys(keys))
        self.count = len(self.keys)
        self._at = {key: at for at, key in enumerate(self.keys)}

    def texts(self, nodes: Iterable[int] | Array) -> list[str]:
        return [self.keys[int(node)] for node in nodes]

    def number(self, name: str) -> int:
        if name not in self._at:
            raise UnknownName(f"{name!r:.200} is not in this graph")
        return self._at[name]

    def __contains__(self, key: str) -> bool:
        return key in self._at


def graph_of(
    pairs: Iterable[tuple[str, str]], keys: Iterable[str] = (), epoch: int | None = None
) -> tuple[Graph, Keys]:
    """The graph of these edges, each once, and of these nodes."""
    edges = sorted(set(pairs))
    nodes = Keys(sorted({*keys, *(key for edge in edges for key in edge)}))
    sources = [nodes.number(source) for source, _ in edges]
    targets = [nodes.number(target) for _, target in edges]
    return Graph.from_edges(sources, targets, nodes=nodes, epoch=epoch), nodes


@dataclass(frozen=True, slots=True)
class Call:
    """A call site's two ends: keys of instances; of a method or a function where no more is known.

    ``how``: see `INVOKED` and the others.
    """

    caller: str
    callee: str
    how: str


def states(facts: Facts) -> dict[str, list[int]]:
    """The state of each compiled version, by instance."""
    snapshot = facts.snapshot
    pages = snapshot.pages(schema.CODE)
    if not len(pages):
        return {}
    values, offsets = snapshot.gather(schema.CODE, "state")
    keys = snapshot.subjects(pages)
    cells, ends = values.tolist(), offsets.tolist()
    return {key: cells[ends[at] : ends[at + 1]] for at, key in enumerate(keys)}


def used_by(facts: Facts) -> Iterator[tuple[str, str]]:
    """(instance, instance): the code of the second, valid as of the epoch, stands on that of the
    first. Julia's own backedges, of Julia 1.12 and later. O(dependencies)."""
    valid = states(facts)
    names = ("version", "kind", "target")
    for key, (version, kind, target) in _rows(facts, schema.DEPENDENCY, names):
        own = valid.get(key, [])
        ended = version < len(own) and own[version] != CodeState.VALID
        if target != NONE_U32 and Dependency(kind) in _CODE and not ended:
            yield facts.text(target), key


def calls(facts: Facts) -> Iterator[Call]:
    """Every call site that is recorded, but those of builtins and foreign code. O(call sites).

    A call that may reach several instances, by dispatch or by splitting a union, is a call of each
    that is recorded.
    """
    reach = _Dispatch(facts)
    names = ("alive", "kind", "callee", "signature", "stage")
    for caller, (alive, kind, callee, signature, stage) in _rows(facts, schema.CALL, names):
        how = _HOW.get(CallKind(kind)) if alive and callee != NONE_U32 else None
        if stage == Stage.REDERIVED:
            continue  # of another final code than the one that runs
        if how is None or (kind == CallKind.UNRESOLVED and stage != Stage.INFERRED):
            continue
        text = facts.text(callee)
        type_ = facts.type(signature) if signature != NONE_U32 else None
        types = type_.text if type_ is not None else ""
        key = f"{text} @ {types}" if types and " @ " not in text else text
        one = type_ is None or type_.lattice is Lattice.CONCRETE or key in facts.by_key
        if one and how in (INVOKED, INLINED, RESOLVED):
            yield Call(caller, key, how)
        else:
            for key in reach.instances(text, types):
                yield Call(caller, key, how)


def called(facts: Facts) -> Mapping[tuple[str, str], str]:
    """How each caller and callee are tied. What inference found and the final code has no more
    counts as inlined; as split or inlined where several methods fit. O(call sites)."""
    how: dict[tuple[str, str], set[str]] = {}
    for call in calls(facts):
        how.setdefault((call.caller, call.callee), set()).add(call.how)
    final = _final(facts)
    out = {}
    for (caller, callee), words in how.items():
        word = next(word for word in _ORDER if word in words)
        out[caller, callee] = _IN_FINAL.get(word, word) if caller in final else word
    return out


def _final(facts: Facts) -> set[str]:
    """The instances of which the final code is known."""
    snapshot = facts.snapshot
    pages = snapshot.pages(schema.CODE)
    if not len(pages):
        return set()
    values, offsets = snapshot.gather(schema.CODE, staged("provenance", Stage.OPTIMIZED))
    ends, known = offsets.tolist(), (values != UNSET_U8).tolist()
    keys = snapshot.subjects(pages)
    return {key for at, key in enumerate(keys) if any(known[ends[at] : ends[at + 1]])}


def _rows(
    facts: Facts, kind: schema.Kind, names: tuple[str, ...]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The rows of all pages of a kind, with their subject."""
    snapshot = facts.snapshot
    pages = snapshot.pages(kind)
    if not len(pages):
        return
    columns, offsets = snapshot.gather_columns(kind, names)
    keys, ends = snapshot.subjects(pages), offsets.tolist()
    rows = list(zip(*(columns[name].tolist() for name in names), strict=True))
    for at, key in enumerate(keys):
        for row in rows[ends[at] : ends[at + 1]]:
            yield key, row


def _tail(types: list[str]) -> tuple[list[str], list[str]]:
    """The types of a tuple that stand for one argument each, and that of a `Vararg` of any number
    at its end."""
    head, inside = parameters(types[-1])
    return (types[:-1], (inside or [])[:1]) if head == "Vararg" else (types, [])


class _Dispatch:
    """Which recorded instances a call may reach that names no single one."""

    def __init__(self, facts: Facts) -> None:
        self._concrete = {t.text for t in facts.types if t.lattice is Lattice.CONCRETE}
        self._by_function: dict[str, list[tuple[str, list[str]]]] = {}
        for key in facts.by_key:
            types = key_types(key)
            if types:
                self._by_function.setdefault(types[0], []).append((key, types))

    def instances(self, callee: str, signature: str) -> list[str]:
        """Those of a function or method whose types the call's do not rule out; of none, a name."""
        asked = tuple_parameters(signature)
        method = "" if callee.startswith("typeof(") else f"{callee} @ "
        known = self._by_function.get(asked[0] if asked else callee, ())
        found = [key for key, own in known if key.startswith(method) and self._may(asked, own)]
        return found or [f"{method}{signature}" if method and signature else callee]

    def _may(self, asked: list[str], own: list[str]) -> bool:
        if not asked:
            return True
        (fixed, rest), (has, more) = _tail(asked), _tail(own)
        if len(has) < len(fixed) and not more:
            return False
        if len(has) > len(fixed) and not rest:
            return False
        wanted = [*fixed, *rest * (len(has) - len(fixed))]
        return all(self._fits(one, other) for one, other in zip(wanted, has, strict=False))

    def _fits(self, wanted: str, has: str) -> bool:
        head, parts = parameters(wanted)
        if head == "Union" and parts and " where " not in wanted:
            return any(self._fits(part, has) for part in parts)
        if head == has.partition("{")[0] == "Core.Type" and " where " not in wanted:
            return wanted == has
        return wanted == has or wanted not in self._concrete
