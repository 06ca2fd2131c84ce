"""`--device vendor.com/class=name` and `--gpus`: which CDI devices they mean."""

from __future__ import annotations

from ..errors import SampanError
from ..model.container import DeviceRequest
from ..runtime.cdi import Devices, Edits
from .config import EngineConfig

_GPU = "nvidia.com/gpu"


def edits(config: EngineConfig, requests: list[DeviceRequest] | None) -> list[Edits]:
    """What the requests change in a container; Docker's words where nothing can serve one."""
    if not requests:
        return []
    devices = Devices(config.cdi_directories)
    return devices.edits([name for request in requests for name in _names(devices, request)])


def _names(devices: Devices, request: DeviceRequest) -> list[str]:
    if request.driver == "cdi":
        return request.device_ids or []
    is_gpu = any("gpu" in words for words in request.capabilities or ())
    known = any(name.startswith(f"{_GPU}=") for name in devices.names())
    asked = request.device_ids or []
    if request.driver not in ("", "nvidia") or not is_gpu or not (known or any("=" in one for one in asked)):
        shown = " ".join(f"[{' '.join(words)}]" for words in request.capabilities or ())
        raise SampanError(f'could not select device driver "{request.driver}" with capabilities: [{shown}]')
    if asked:
        return [one if "=" in one else f"{_GPU}={one}" for one in asked]
    return [f"{_GPU}=all"] if request.count < 0 else [f"{_GPU}={number}" for number in range(request.count)]
