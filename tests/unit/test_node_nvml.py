"""NVIDIA's library, as far as its documentation tells: a stand-in answers the same calls."""

from __future__ import annotations

import ctypes
from typing import Any

from commands.context import GpuDevice
from pilot.node import nvml

LOST = 15  # NVML_ERROR_GPU_IS_LOST
UNSUPPORTED = 3  # NVML_ERROR_NOT_SUPPORTED


class Library:
    """Three GPUs: a whole one, one that has fallen off the bus, and one that tells no more than its name."""

    def __init__(self) -> None:
        self.shut = False

    def nvmlInit_v2(self) -> int:  # noqa: N802 - the library's names
        return 0

    def nvmlShutdown(self) -> int:  # noqa: N802
        self.shut = True
        return 0

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:  # noqa: N802
        count._obj.value = 3
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: Any, device: Any) -> int:  # noqa: N802
        device._obj.value = index.value + 100
        return LOST if index.value == 1 else 0

    def nvmlDeviceGetName(self, device: Any, buffer: Any, size: Any) -> int:  # noqa: N802
        buffer.value = b"NVIDIA H100 PCIe"
        return 0 if size.value >= 64 else 7

    def nvmlDeviceGetUUID(self, device: Any, buffer: Any, size: Any) -> int:  # noqa: N802
        buffer.value = b"GPU-7f00"
        return 0 if device.value == 100 else UNSUPPORTED

    def nvmlDeviceGetMemoryInfo(self, device: Any, memory: Any) -> int:  # noqa: N802
        memory._obj.total = 85_520_809_984
        return 0 if device.value == 100 else UNSUPPORTED

    def nvmlDeviceGetCudaComputeCapability(self, device: Any, major: Any, minor: Any) -> int:  # noqa: N802
        major._obj.value, minor._obj.value = 9, 0
        return 0 if device.value == 100 else UNSUPPORTED


def test_what_the_library_tells() -> None:
    """Every GPU that answers, by its number; what one does not tell is unknown; the library is closed again."""
    library = Library()
    assert nvml.devices(lambda name: library) == (
        GpuDevice(0, "GPU-7f00", "NVIDIA H100 PCIe", 85_520_809_984, "9.0"),
        GpuDevice(2, None, "NVIDIA H100 PCIe"),
    )
    assert library.shut


def test_no_library_no_driver_or_an_old_one() -> None:
    """Where the library is not there, does not find its driver, or lacks a call, it tells nothing."""

    def missing(name: str) -> Any:
        raise OSError(name)

    driverless = Library()
    driverless.nvmlInit_v2 = lambda: 9  # type: ignore[method-assign]
    assert nvml.devices(missing) is None
    assert nvml.devices(lambda name: driverless) is None
    assert nvml.devices(lambda name: object()) is None
    assert ctypes.sizeof(nvml._Memory) == 24
