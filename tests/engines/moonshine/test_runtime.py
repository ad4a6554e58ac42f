"""Tests of what is mended in the model's runtime."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator

import pytest

from captiond.engines.moonshine import runtime as module
from captiond.engines.moonshine.library import Model
from captiond.engines.moonshine.runtime import runtime
from tests.engines.moonshine.speech import pcm

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mended on Linux only")


class _Heap(ctypes.Structure):
    _fields_ = [(f"field{number}", ctypes.c_size_t) for number in range(10)]


def used_bytes() -> int:
    """Return the memory in use by C code."""
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = _Heap
    return int(mallinfo2().field7)  # uordblks


@pytest.fixture
def model() -> Iterator[Model]:
    model = Model()
    yield model
    model.close()


def test_the_model_has_no_threads() -> None:
    """Loading the model starts no threads that compute."""
    before = len(os.listdir("/proc/self/task"))
    model = Model()

    assert runtime().mended
    assert len(os.listdir("/proc/self/task")) == before

    model.close()


def test_updates_leave_nothing_behind(model: Model) -> None:
    """What an update took from the heap is given back."""

    def transcribe() -> None:
        source = model.open()
        source.feed(pcm()[32000:96000])
        source.update()
        source.close()

    for _ in range(3):
        transcribe()
    before = used_bytes()
    for _ in range(10):
        transcribe()

    assert used_bytes() - before < 50_000


def test_an_unknown_runtime_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the runtime can't be reached, the library works as it is."""

    def fail() -> int:
        raise OSError("not here")

    monkeypatch.setattr(module, "_find_table", fail)
    runtime = module.runtime.__wrapped__()
    runtime.release()

    assert not runtime.mended
