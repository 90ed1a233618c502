"""Code that came with package images: valid where it is, and ended by what it stands on."""

from __future__ import annotations

from pathlib import Path

import live
import pytest
from invalidation import packages

from mmsb.capture.julia import Candidate
from mmsb.query.memories import open_memory
from mmsb.query.reader import Reader

UNITS = """
@noinline base(x) = x + 1
@noinline mid(x) = base(x) * 2
@noinline top(x) = mid(x) - 1
@noinline apart(x) = x - 1
precompile(top, (Int,)); precompile(apart, (Int,))
"""
SHOP = """
using Units
sells(x) = Units.top(x) + Units.apart(x)
precompile(sells, (Int,))
"""
USING = "using Units, Shop\nShop.sells(1)\ntwice(x) = x * 2\ntwice(1)\n"
#: Tells which instances of both packages have valid code.
VALID = (
    live.HAS_VALID_CODE
    + """
types(mi) = join(("::" * string(T) for T in mi.specTypes.parameters[2:end]), ", ")
valid() = [string(mod, '.', name, '(', types(mi), ')')
    for mod in (Units, Shop) for name in names(mod; all = true)
    if isdefined(mod, name) && getfield(mod, name) isa Function
    for m in methods(getfield(mod, name), mod) for mi in Base.specializations(m) if valid(mi)]
"""
)
REDEFINED = """
before = valid()
Core.eval(Units, :(base(x) = x + 100))
foreach(println, setdiff(before, valid()))
"""
EXTRA = """
import Units
Units.base(x::Int) = 100
Units.top(1)
precompile(Units.top, (Int,))
"""


def _has_images(julia: Candidate) -> None:
    if live.version(julia) < (1, 9):
        pytest.skip(f"Julia {julia.version} has no package images with code")


def recorded(julia: Candidate, folder: Path, env: dict[str, str], text: str) -> Reader:
    """A memory of a program whose packages were precompiled before."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        return open_memory(live.record_text(julia, folder, text).path)


@pytest.mark.newest
def test_what_nothing_recorded_calls_goes_stale_too(julia: Candidate, tmp_path: Path) -> None:
    """Nothing of these packages is inferred while it is recorded: all of it came with images."""
    _has_images(julia)
    env = packages(tmp_path, Units=UNITS, Shop=SHOP)
    script = tmp_path / "truth.jl"
    script.write_text(USING + VALID + REDEFINED, encoding="utf-8")
    ended = set(live.said(julia, [str(script)], env=env).split("\n")) - {""}
    with recorded(julia, tmp_path, env, USING) as memory:
        found = memory.at().impact("Units.base(::Any)")
        own, stale = ({one.name for one in part} for part in (found.own, found.stale))
        assert stale == {"Units.mid(::Int64)", "Units.top(::Int64)", "Shop.sells(::Int64)"}
        assert own == {"Units.base(::Int64)"}
        assert own | stale == ended
        called = memory.at().callers("Units.base")
        assert (called.calls, called.unseen) == ((), ("Units.mid(::Int64)",))
        assert "1 more function" in str(called)
        assert memory.at().callees("Units.mid").exit_code == 3


@pytest.mark.newest
def test_code_that_ended_has_a_valid_successor_in_another_image(
    julia: Candidate, tmp_path: Path
) -> None:
    """A package that brings a method brings the code that this makes anew, too."""
    _has_images(julia)
    env = packages(tmp_path, Units=UNITS, Extra=EXTRA)
    live.said(julia, ["-e", "using Extra"], env=env)  # precompiled
    text = "using Units\nUnits.top(1)\nusing Extra\nUnits.top(1)\n"
    script = tmp_path / "truth.jl"
    script.write_text(text + VALID.replace(", Shop", ",") + "foreach(println, valid())\n")
    valid = live.said(julia, [str(script)], env=env).split("\n")
    assert "Units.top(::Int64)" in valid
    with recorded(julia, tmp_path, env, text) as memory:
        ended = [v.name for v in memory.at().invalidations().trees for v in v.nodes]
        assert "Units.top(::Int64)" in ended
        for name in ("Units.top", "Units.mid"):
            assert memory.at().cause(name).valid
        called = memory.at().callees("Units.top")
    assert called.advice.endswith("record with --module Units to have the compiler asked again.")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        (tmp_path / "again.jl").write_text(text, encoding="utf-8")
        made = live.record(
            julia, tmp_path / "again.mmsb", [str(tmp_path / "again.jl")], modules=["Units"]
        )
    with open_memory(made.path) as memory:
        names = {one.name for one in memory.at().callees("Units.top").calls}
        assert "Units.mid(::Int64)" in names


@pytest.mark.newest
def test_replaced_code_stands_before_its_successor(julia: Candidate, tmp_path: Path) -> None:
    """Julia does not cap a replaced method's code: its callers are those of its own worlds."""
    env = packages(tmp_path, Units=UNITS, Shop=SHOP)
    again = "f(x) = Units.top(x)\nf(1)\nCore.eval(Units, :(base(x) = x + 100))\nf(1)\n"
    with recorded(julia, tmp_path, env, USING + again) as memory:
        epoch = max(e.epoch for e in memory.log(function="Units.base(::Any)").entries
                    if "defined" in e.events)  # fmt: skip
        found = memory.at(epoch - 1).impact("Units.base(::Any)")
        assert [(one.name, one.versions) for one in found.own] == [("Units.base(::Int64)", (1,))]
        assert {one.name for one in found.stale} == {
            *("Units.mid(::Int64)", "Units.top(::Int64)", "Shop.sells(::Int64)", "f(::Int64)")
        }
        (fate,) = memory.at().why("Units.base").fates
        assert [(r.version, r.epoch) for r in fate.reasons] == [(1, epoch)]
        assert memory.at(epoch).impact("Units.base(::Any)").own == ()
