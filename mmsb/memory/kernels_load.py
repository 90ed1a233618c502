"""What the kernels are made of: loads and stores at an address, since the log is many maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, types  # type: ignore[attr-defined]
from numba.core import cgutils
from numba.extending import intrinsic

from mmsb.base.kernels import kernel

_intrinsic: Callable[[Callable[..., Any]], Any] = intrinsic
_memcpy: Any = cgutils.raw_memcpy


def _loader(bits: int) -> Callable[[int], int]:
    """``load(address)``: the unsigned number of so many bits that lies there, as i64."""

    @_intrinsic
    def load(_context: Any, _address: Any) -> Any:
        def make(_: Any, builder: Any, __: Any, args: Any) -> Any:
            pointer = builder.inttoptr(args[0], ir.IntType(bits).as_pointer())
            value = builder.load(pointer, align=1)
            return value if bits == 64 else builder.zext(value, ir.IntType(64))

        return types.int64(types.int64), make

    made: Callable[[int], int] = load
    return made


def _storer(bits: int) -> Callable[[int, int], None]:
    """``store(address, value)``: the value's lowest bits."""

    @_intrinsic
    def store(_context: Any, _address: Any, _value: Any) -> Any:
        def make(context: Any, builder: Any, _: Any, args: Any) -> Any:
            pointer = builder.inttoptr(args[0], ir.IntType(bits).as_pointer())
            value = args[1] if bits == 64 else builder.trunc(args[1], ir.IntType(bits))
            builder.store(value, pointer, align=1)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), make

    made: Callable[[int, int], None] = store
    return made


u1, u2, u4, i8 = (_loader(bits) for bits in (8, 16, 32, 64))
put1, put2, put4, put8 = (_storer(bits) for bits in (8, 16, 32, 64))


def _copier() -> Callable[[int, int, int], None]:
    @_intrinsic
    def copy(_context: Any, _to: Any, _source: Any, _size: Any) -> Any:
        def make(context: Any, builder: Any, _: Any, args: Any) -> Any:
            byte = ir.IntType(8).as_pointer()
            to, source = (builder.inttoptr(address, byte) for address in args[:2])
            _memcpy(builder, to, source, args[2], 1)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.int64), make

    made: Callable[[int, int, int], None] = copy
    return made


#: ``copy(to, source, size)``: bytes that do not overlap.
copy = _copier()


@kernel
def move(to: int, source: int, width: int) -> None:
    if width == 4:
        put4(to, u4(source))
    elif width == 1:
        put1(to, u1(source))
    elif width == 8:
        put8(to, i8(source))
    else:
        put2(to, u2(source))


@kernel
def fill_with(to: int, count: int, width: int, value: int) -> None:
    # A loop of stores by address compiles to scatters, so what is there is copied behind itself.
    done, total = min(count, 64) * width, count * width
    for at in range(0, done, width):
        move_value(to + at, value, width)
    while done < total:
        size = min(done, total - done, 1 << 15)
        copy(to + done, to, size)
        done += size


@kernel
def move_value(to: int, value: int, width: int) -> None:
    if width == 4:
        put4(to, value)
    elif width == 1:
        put1(to, value)
    elif width == 8:
        put8(to, value)
    else:
        put2(to, value)


@kernel
def load(source: int, size: int, width: int) -> int:
    """A cell of ``width`` bytes that is stored in ``size``: the two highest numbers stay that."""
    if size == 8:
        return i8(source)
    if size == 4:
        value = u4(source)
    elif size == 1:
        value = u1(source)
    else:
        value = u2(source)
    if size == width:
        return value
    return ((value + 2) & ((1 << 8 * size) - 1)) - 2


def _pointer() -> Callable[[int], Any]:
    @_intrinsic
    def pointer(_context: Any, _address: Any) -> Any:
        def make(_: Any, builder: Any, __: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], ir.IntType(8).as_pointer())

        return types.voidptr(types.int64), make

    made: Callable[[int], Any] = pointer
    return made


_at = _pointer()


@kernel
def _widen(to: Any, source: Any) -> None:
    # Arrays, not addresses: those would make scatters of it.
    mask = (1 << 8 * source.itemsize) - 1
    for cell in range(len(source)):
        to[cell] = ((source[cell] + 2) & mask) - 2


@kernel
def _widen_to(to: int, source: Any, width: int) -> None:
    if width == 4:
        _widen(carray(_at(to), len(source), np.uint32), source)
    elif width == 8:
        _widen(carray(_at(to), len(source), np.uint64), source)
    else:
        _widen(carray(_at(to), len(source), np.uint16), source)


@kernel
def put_cells(to: int, source: int, count: int, size: int, each: int, width: int) -> None:
    """``count`` cells of ``width`` bytes, stored in ``size`` bytes or, if ``each``, as one."""
    if each:
        fill_with(to, count, width, load(source, size, width))
    elif size == width:
        copy(to, source, count * width)
    elif size == 1:
        _widen_to(to, carray(_at(source), count, np.uint8), width)
    elif size == 2:
        _widen_to(to, carray(_at(source), count, np.uint16), width)
    else:
        _widen_to(to, carray(_at(source), count, np.uint32), width)
