"""
Keeps the library's inference on the thread that calls it.

ONNX Runtime gives every session a pool of one thread per core, which spin while they
wait, and the library has no option for it. Measured on two cores: the second thread
doubles the CPU time and makes no update faster; with another process on its core an
update takes three times as long; and each of N workers would have N spinning threads.
captiond shares the cores out by worker processes, so one thread each is right.

The library takes the runtime's functions from a table (``OrtApi``) whose layout is
fixed: functions are only ever added at its end. While the model is being loaded, the
table's ``CreateSessionOptions`` is replaced by one that also asks for one thread.
Where that is not possible the library runs as it is, only dearer.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import sys
from collections.abc import Iterator

from captiond import logs

_API_VERSION = 23
_CREATE_SESSION_OPTIONS = 10
_SET_INTRA_OP_NUM_THREADS = 24
"""Places in the table, from onnxruntime_c_api.h."""

_PROT_READ = 1
_PROT_WRITE = 2

_Status = ctypes.c_void_p
"""What the runtime's functions return: NULL when all is well."""

_Create = ctypes.CFUNCTYPE(_Status, ctypes.POINTER(ctypes.c_void_p))
_SetThreads = ctypes.CFUNCTYPE(_Status, ctypes.c_void_p, ctypes.c_int)


@contextlib.contextmanager
def one_thread() -> Iterator[bool]:
    """
    Let sessions that are created meanwhile have no threads of their own.

    Gives whether that is so; if not, a line in the log says why.
    """
    log = logs.get("engine.threads")
    try:
        table = _find_table()
        slot = ctypes.c_void_p.from_address(
            table + _CREATE_SESSION_OPTIONS * ctypes.sizeof(ctypes.c_void_p)
        )
        original = slot.value
        assert original is not None
        replacement = _single_threaded(table, original)
        _write(slot, ctypes.cast(replacement, ctypes.c_void_p).value)
    except OSError as exc:
        log.warning("models run on a thread per core", reason=str(exc))
        yield False
        return
    try:
        yield True
    finally:
        _write(slot, original)


def _find_table() -> int:
    """Return the address of the runtime's table of functions."""
    if not sys.platform.startswith("linux"):
        raise OSError("the runtime is only reached into on Linux")
    from moonshine_voice.moonshine_api import _MoonshineLib

    # Loads the library, and the runtime with it.
    _MoonshineLib()  # type: ignore[no-untyped-call]
    with open("/proc/self/maps", encoding="utf-8") as maps:
        paths = {line.split(maxsplit=5)[-1].strip() for line in maps}
    runtime = next((path for path in paths if "/libonnxruntime" in path), None)
    if runtime is None:
        raise OSError("the library brings no shared ONNX Runtime")
    get_base = ctypes.CDLL(runtime).OrtGetApiBase
    get_base.restype = ctypes.POINTER(ctypes.c_void_p)
    get_api = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint32)(get_base()[0])
    table: int | None = get_api(_API_VERSION)
    if table is None:
        raise OSError(f"the ONNX Runtime is older than version 1.{_API_VERSION}")
    return table


def _single_threaded(table: int, original: int) -> ctypes._FuncPointer:
    functions = ctypes.cast(table, ctypes.POINTER(ctypes.c_void_p))
    create = _Create(original)
    set_threads = _SetThreads(functions[_SET_INTRA_OP_NUM_THREADS])

    def create_single_threaded(out: ctypes._Pointer[ctypes.c_void_p]) -> int | None:
        status: int | None = create(out)
        if status is None:
            status = set_threads(out[0], 1)
        return status

    return _Create(create_single_threaded)


def _write(slot: ctypes.c_void_p, value: int | None) -> None:
    """Write to a page that the dynamic linker made read-only."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    page = ctypes.addressof(slot) & ~(mmap.PAGESIZE - 1)
    if libc.mprotect(page, mmap.PAGESIZE, _PROT_READ | _PROT_WRITE):
        raise OSError(ctypes.get_errno(), "the runtime's functions can't be changed")
    slot.value = value
    libc.mprotect(page, mmap.PAGESIZE, _PROT_READ)
