"""
Mends how the library uses ONNX Runtime, for which it has no options.

* It lets every session have a pool of one thread per core, which spin while they wait.
  Measured on two cores: the second thread doubles the CPU time and makes no update
  faster; with another process on its core an update takes three times as long; and
  each of N workers would have N spinning threads. captiond shares the cores out by
  worker processes, so one thread each is right.
* It never releases the type of a tensor that it asked for: 0.15 MB per update of a
  short line, and ten times that by keeping freed memory between them from use. A live
  stream took gigabytes in an hour.

The library takes the runtime's functions from a table (``OrtApi``) whose layout is
fixed: functions are only ever added at its end. Two of them are replaced by ones that
ask for a single thread, and that note what is to be released. Where that is not
possible the library runs as it is, only dearer.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import sys

from captiond import logs

_API_VERSION = 23

# Places in the table, from onnxruntime_c_api.h.
_CREATE_SESSION_OPTIONS = 10
_SET_INTRA_OP_NUM_THREADS = 24
_GET_TYPE_INFO = 66
_RELEASE_TYPE_INFO = 98

_PROT_READ = 1
_PROT_WRITE = 2

_M_TRIM_THRESHOLD, _TRIM_BYTES = -1, 32 << 20
_M_MMAP_THRESHOLD, _MMAP_BYTES = -3, 16 << 10
"""Size from which the C library takes a block from the system, and gives it back.
Tensors of ever other sizes would else leave holes in the heap: 2 MB a minute."""

_POINTER_BYTES = ctypes.sizeof(ctypes.c_void_p)

_Status = ctypes.c_void_p
"""What the runtime's functions return: NULL when all is well."""

_Out = ctypes.POINTER(ctypes.c_void_p)
_Create = ctypes.CFUNCTYPE(_Status, _Out)
_SetInt = ctypes.CFUNCTYPE(_Status, ctypes.c_void_p, ctypes.c_int)
_Get = ctypes.CFUNCTYPE(_Status, ctypes.c_void_p, _Out)
_Release = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Runtime:
    """
    The ONNX Runtime of this process, mended. Sessions must be created after it.

    Args:
        table: Address of the runtime's functions, or None to mend nothing.

    """

    def __init__(self, table: int | None) -> None:
        self.mended = table is not None
        self._unreleased: list[int] = []
        if table is not None:
            functions = ctypes.cast(table, _Out)
            self._create_options = _Create(functions[_CREATE_SESSION_OPTIONS])
            self._set_threads = _SetInt(functions[_SET_INTRA_OP_NUM_THREADS])
            self._get_type = _Get(functions[_GET_TYPE_INFO])
            self._release_type = _Release(functions[_RELEASE_TYPE_INFO])
            # The table refers to these from now on.
            self._replacements = {
                _CREATE_SESSION_OPTIONS: _Create(self._create_single_threaded),
                _GET_TYPE_INFO: _Get(self._get_noted_type),
            }
            for place, function in self._replacements.items():
                _write(
                    table + place * _POINTER_BYTES,
                    ctypes.cast(function, ctypes.c_void_p).value,
                )

    def release(self) -> None:
        """Release what the library left behind; it must not be at work."""
        for info in self._unreleased:
            self._release_type(info)
        self._unreleased.clear()

    def _create_single_threaded(self, out: ctypes._Pointer[ctypes.c_void_p]) -> object:
        return self._create_options(out) or self._set_threads(out[0], 1)

    def _get_noted_type(
        self, value: int, out: ctypes._Pointer[ctypes.c_void_p]
    ) -> object:
        status = self._get_type(value, out)
        if status is None:
            self._unreleased.append(int(out[0]))
        return status


@functools.cache
def runtime() -> Runtime:
    """Return this process's runtime, mended once; a line in the log if it can't be."""
    if sys.platform.startswith("linux"):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)
    try:
        return Runtime(_find_table())
    except (OSError, AttributeError) as exc:
        logs.get("engine.runtime").warning(
            "the model's runtime can't be mended, and costs more", reason=str(exc)
        )
        return Runtime(None)


def _find_table() -> int:
    """Return the address of the runtime's table of functions."""
    if not sys.platform.startswith("linux"):
        raise OSError("it is only reached into on Linux")
    from moonshine_voice.moonshine_api import _MoonshineLib

    # Loads the library, and the runtime with it.
    _MoonshineLib()  # type: ignore[no-untyped-call]
    with open("/proc/self/maps", encoding="utf-8") as maps:
        paths = {line.split(maxsplit=5)[-1].strip() for line in maps}
    path = next((path for path in paths if "/libonnxruntime" in path), None)
    if path is None:
        raise OSError("the library brings no shared ONNX Runtime")
    get_base = ctypes.CDLL(path).OrtGetApiBase
    get_base.restype = _Out
    get_api = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint32)(get_base()[0])
    table: int | None = get_api(_API_VERSION)
    if table is None:
        raise OSError(f"it is older than version 1.{_API_VERSION}")
    return table


def _write(address: int, value: int | None) -> None:
    """Write to a page that the dynamic linker made read-only."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    page = address & ~(mmap.PAGESIZE - 1)
    if libc.mprotect(page, mmap.PAGESIZE, _PROT_READ | _PROT_WRITE):
        raise OSError(ctypes.get_errno(), "its functions can't be replaced")
    ctypes.c_void_p.from_address(address).value = value
    libc.mprotect(page, mmap.PAGESIZE, _PROT_READ)
