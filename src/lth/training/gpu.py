"""What a GPU says of itself through NVML."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import torch

log = logging.getLogger("lth")

UNKNOWN = "unknown"
Value = int | float | str


def readings(device: torch.device) -> dict[str, Value]:
    """Returns utilisation (a fraction), memory in use (bytes), power (watts) and temperature (degrees Celsius).

    Each is "unknown" where NVML does not give it: on a part of a GPU (MIG), without permission, without the
    library. Memory is that of all processes, power and temperature those of the whole card.
    """
    found = _nvml()
    return read(*found, str(torch.cuda.get_device_properties(device).uuid)) if found else read(None, None, "")


def read(nvml: Any, error: Any, uuid: str) -> dict[str, Value]:
    """Returns the readings of the device `uuid` from the module `nvml`, whose exception is `error`."""
    asked: dict[str, Callable[[Any], Value]] = {
        "gpu_utilization": lambda handle: nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100,
        "gpu_memory_bytes": lambda handle: int(nvml.nvmlDeviceGetMemoryInfo(handle).used),
        "gpu_power_watts": lambda handle: nvml.nvmlDeviceGetPowerUsage(handle) / 1000,
        "gpu_temperature_celsius": lambda handle: int(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
    }
    handle = None if nvml is None else _handle(nvml, error, uuid)
    if handle is None:
        return dict.fromkeys(asked, UNKNOWN)
    found: dict[str, Value] = {}
    for name, ask in asked.items():
        try:
            found[name] = ask(handle)
        except error:
            found[name] = UNKNOWN
    return found


def _handle(nvml: Any, error: Any, uuid: str) -> Any:
    """NVML's name of the device: torch gives the bare identifier, NVML wants to know whether it is a part."""
    for kind in ("MIG-", "GPU-", ""):
        try:
            return nvml.nvmlDeviceGetHandleByUUID(kind + uuid)
        except error:
            continue
    return None


@cache
def _nvml() -> tuple[Any, Any] | None:
    """The library, ready for use, and its exception; None, said once, where there is none."""
    try:
        nvml = import_module("pynvml")
    except ImportError:
        log.info("the GPU's readings are unknown: install them with: pip install 'lth[gpu]'")
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as problem:
        log.info("the GPU's readings are unknown: %s", problem)
        return None
    return nvml, nvml.NVMLError
