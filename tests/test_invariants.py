"""Invariants of docs/invariants.md that no other test holds; and that each of them names a test."""

from __future__ import annotations

import re
from pathlib import Path

from mmsb.base import schema
from mmsb.capture.julia import Candidate, shim_path
from mmsb.session import record

ROOT = Path(__file__).resolve().parents[1]

# What the shim may call in libjulia and libc: it reads, registers its tracer, and writes to its own
# descriptors. Nothing here compiles, changes a method table, or sets what the compiler keeps.
READS = {
    "jl_call_in_typeinf_world",  # calls inference as Julia's own reflection does
    "jl_register_newmeth_tracer",
    "jl_static_show",
    "jl_typeinf_begin",  # the lock around inference, 1.5
    "jl_typeinf_end",
    "jl_uncompress1_codeloc",
    "jl_value_ptr",
    "close",
    "fcntl",
    "getppid",
    "ios_mem",
    "lseek",
    "open",
    "read",
    "write",
    # the passive tier: the compiler's own queue and log, which only append
    "jl_array_ptr",
    "jl_debug_method_invalidation",
    "jl_exception_occurred",
    "jl_generating_output",
    "jl_gf_invoke_lookup",
    "jl_module_get_bindings",
    "jl_push_newly_inferred",
    "jl_set_newly_inferred",
    "jl_uncompress_ir",
}
#: What a file may call beside: the second process's beginning and end.
ALSO = {
    "apart.jl": {
        *("_exit", "alarm", "dup2", "fork", "kill", "pipe", "poll", "prctl", "readlink"),
        *("signal", "waitpid"),
    }
}
#: Files of the shadow compiler, loaded in a fork alone.
SHADOW = ("interpreter.jl", "inliner.jl", "decisions.jl")


def shim_sources() -> dict[str, str]:
    shim = shim_path()
    files = [*sorted((shim / "src").glob("*.jl")), shim / "loader.jl"]
    return {path.name: path.read_text(encoding="utf-8") for path in files}


def test_the_shim_calls_nothing_that_writes() -> None:
    for name, text in shim_sources().items():
        called = set(re.findall(r"ccall\(\s*:(\w+)", text))
        assert called <= READS | ALSO.get(name, set()), name


def test_the_shim_asks_for_no_machine_code() -> None:
    words = re.compile(r"code_llvm|code_native|jl_get_llvm|llvmcall|generate_fptr|jl_dump_")
    assert [name for name, text in shim_sources().items() if words.search(text)] == []


def test_the_shim_defines_no_method_on_what_it_does_not_own() -> None:
    foreign = re.compile(r"^\s*(?:Base|Core|CC)\.[\w.!:+*]+\([^)]*\)(?:::\S+)?\s*=[^=]", re.M)
    definition = re.compile(r"^\s*function\s+(?:Base|Core|CC)\.", re.M)
    found = [
        name
        for name, text in shim_sources().items()
        # the shadow compiler's own methods: of its own type, in a fork alone
        if name not in SHADOW and (definition.search(text) or foreign.search(text))
    ]
    assert found == []
    assert not any(f'include("{name}")' in shim_sources()["MMSBShim.jl"] for name in SHADOW)
    assert definition.search("function Base.show(io, x)")  # the pattern can find one
    assert foreign.search("Base.show(io::IO, x::Foo) = 1")


def test_only_one_file_tests_the_version() -> None:
    files = [name for name, text in shim_sources().items() if "VERSION" in text]
    assert set(files) <= {"compat.jl", "buffers.jl", "wire.jl", "record.jl"}
    # WIRE_VERSION is a number of ours, and the recording says which Julia made it
    for name in ("buffers.jl", "wire.jl", "record.jl"):
        text = shim_sources()[name].replace("WIRE_VERSION", "")
        assert not re.search(r"VERSION\s*[<>=]|[<>=]\s*VERSION", text)


def test_no_column_holds_an_address(tmp_path: Path, julia: Candidate) -> None:
    address, number = 0x7EAD_BEEF_1234, 0x7ACE_CAFE_4321
    script = tmp_path / "pointer.jl"
    script.write_text(
        f"const P = Ptr{{Cvoid}}(UInt({address}))\nf(x) = (P, x)\ng(x) = x + {number}\nf(1); g(1)\n"
    )
    result = record([str(script)], tmp_path / "p.mmsb", julia=julia)
    data = b"".join(p.read_bytes() for p in Path(str(result.path)).iterdir() if p.is_file())
    for written in (f"{address:x}".encode(), str(address).encode(), address.to_bytes(8, "little")):
        assert written not in data
    assert str(number).encode() in data  # a plain integer of that size is found


def test_no_column_is_named_for_one() -> None:
    names = [column.name for kind in schema.KINDS for column in kind.columns]
    assert not [name for name in names if re.search(r"address|pointer|objectid|native", name)]


def test_every_invariant_names_a_test_that_exists() -> None:
    text = (ROOT / "docs" / "invariants.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\| \d ", line)]
    assert len(rows) == 7
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
        assert named, row
        for path, test in named:
            assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), (path, test)
