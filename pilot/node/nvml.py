"""NVIDIA's management library, by ctypes: every GPU that this process may see, in the order of its own numbers.

Written from NVIDIA's documentation of the library; tests give it a library of the same calls, not a real GPU.
"""

from __future__ import annotations

import ctypes
from typing import Any, Callable, Optional

from commands.context import GpuDevice

LIBRARY = "libnvidia-ml.so.1"
_TEXT = 128  # bytes; no name or UUID is longer


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


def devices(load: Callable[[str], Any] = ctypes.CDLL) -> Optional[tuple[GpuDevice, ...]]:
    """All GPUs, None where there is no such library or no driver that answers it."""
    try:
        library = load(LIBRARY)
        if library.nvmlInit_v2() != 0:
            return None
    except (OSError, AttributeError):
        return None
    try:
        count = ctypes.c_uint()
        if library.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
            return None
        return tuple(filter(None, (_device(library, index) for index in range(min(count.value, 1024)))))
    except AttributeError:  # an older library lacks a call
        return None
    finally:
        library.nvmlShutdown()


def _device(library: Any, index: int) -> Optional[GpuDevice]:
    """One GPU, None where it does not even tell its name: it has fallen off the bus, or is somebody else's."""
    device = ctypes.c_void_p()
    if library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(device)) != 0:
        return None
    model = _text(library.nvmlDeviceGetName, device)
    if model is None:
        return None
    memory, major, minor = _Memory(), ctypes.c_int(), ctypes.c_int()
    told = library.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory)) == 0
    able = library.nvmlDeviceGetCudaComputeCapability(device, ctypes.byref(major), ctypes.byref(minor)) == 0
    return GpuDevice(
        index,
        _text(library.nvmlDeviceGetUUID, device),
        model,
        int(memory.total) if told else None,
        f"{major.value}.{minor.value}" if able else None,
    )


def _text(call: Callable[..., int], device: ctypes.c_void_p) -> Optional[str]:
    buffer = ctypes.create_string_buffer(_TEXT)
    if call(device, buffer, ctypes.c_uint(_TEXT)) != 0:
        return None
    return buffer.value.decode("utf-8", "replace") or None
