"""Where cells are gathered to and graphs propagated: the host, or a machine with its own memory.

A machine is brought by `provide`; the package that has one does so when ``mmsb`` is imported, and
it is looked for when first asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import RLock
from typing import TYPE_CHECKING, Any, Literal, Protocol

from mmsb.base.errors import EnvironmentProblem, MissingExtra, UsageError, quote

if TYPE_CHECKING:
    from mmsb.memory.cells import Array

#: ``"auto"``: the GPU where there is one that can be used, else the CPU.
Device = Literal["cpu", "gpu", "auto"]
_DEVICES = ("cpu", "gpu", "auto")
#: An array in a machine's memory: it has ``dtype``, ``nbytes`` and a length.
Buffer = Any


class Machine(Protocol):
    """A device with memory of its own. MemoryError where it has no room; nothing is changed.

    What is launched runs in order; `get`, `wait` and a captured graph's launch wait for it.
    """

    name: str
    #: At most so many of a team's threads share an item of a front, which stands for so many edges.
    lanes: int
    piece: int

    @property
    def peers(self) -> tuple[Machine, ...]:
        """All machines that `reduce` works over, itself the first."""

    def room(self, count: int, dtype: Any) -> Buffer:
        """So many items that hold anything; its bytes are a multiple of 16."""

    def put(self, cells: Array) -> Buffer:
        """A copy of an array of one dimension."""

    def get(self, buffer: Buffer) -> Array:
        """A copy on the host."""

    def run(self, kernel: str, work: int, *args: Buffer | int) -> None:
        """Launches a kernel of the pages that has so many items to work on."""

    def teams(self, kernel: str, count: int, *args: Buffer | int) -> None:
        """Launches so many teams that propagate."""

    def together(self, kernel: str, *args: Buffer | int) -> None:
        """Launches one team as large as the machine."""

    def wait(self) -> None:
        """Until all that was launched is done."""

    def pinned(self, count: int, dtype: Any) -> Array:
        """A host array for `send` and `fetch`."""

    def send(self, to: Buffer, pinned: Array) -> None:
        """Launches a copy to the beginning of ``to``."""

    def fetch(self, pinned: Array, source: Buffer) -> None:
        """Launches a copy of the beginning of ``source``."""

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """What ``work`` launches, to be launched again at once and waited for."""

    def reduce(self, parts: Sequence[Buffer], most: bool) -> None:
        """Sets an array of each peer to the least (or ``most``) of all, item by item."""


#: Held while a machine is used for one thing: its launches, and the buffers they share.
LOCK = RLock()
_provided: Callable[[], Machine] | None = None


def provide(find: Callable[[], Machine] | None) -> None:
    """``find`` answers what is behind ``device="gpu"``; ImportError, RuntimeError: there is none.

    It is called each time one is asked for.
    """
    global _provided
    _provided = find


def machine() -> Machine:
    """The machine behind ``device="gpu"``; MissingExtra says what is missing."""
    try:
        if _provided is None:
            raise ImportError("none was provided")
        return _provided()
    except (ImportError, RuntimeError) as error:
        why = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise MissingExtra(
            f"no GPU can be used here ({why[0]:.200}); install mmsb[gpu] where there is one, "
            "or use device='cpu', or 'auto'"
        ) from error


def check_device(given: Any) -> None:
    """UsageError unless it is a `Device`."""
    if not isinstance(given, str) or given not in _DEVICES:
        raise UsageError(f"there is no device {quote(given)}; use 'cpu', 'gpu' or 'auto'")


def resolve(device: Device, note: Callable[[str], None] | None = None) -> Machine | None:
    """The machine that is used; None: the CPU, of which ``note`` hears why if it was "auto".

    UsageError; MissingExtra for ``"gpu"``.
    """
    check_device(device)
    if device == "cpu":
        return None
    try:
        return machine()
    except MissingExtra as error:
        if device == "gpu":
            raise
        if note is not None:
            note(str(error))
        return None


def exhausted(what: str) -> EnvironmentProblem:
    """The error for what does not fit into a machine's memory; nothing is changed."""
    return EnvironmentProblem(
        f"the GPU has no room for {what}; ask for less at once, or use device='cpu', or 'auto'"
    )
