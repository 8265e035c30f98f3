"""The hub that timm downloads from, asked once."""

from __future__ import annotations

import timm
from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError

FILES = ("model.safetensors", "pytorch_model.bin")  # timm takes the first that is there
SECONDS = 10


def unreachable(name: str) -> str | None:
    """Why the weights of a timm model cannot be downloaded now; None if they can be, or were before.

    Left to itself, timm asks again and again for most of a minute, with two lines on stderr each time.
    """
    config = timm.get_pretrained_cfg(name)
    if config is None or config.hf_hub_id is None:
        return None
    if any(isinstance(try_to_load_from_cache(config.hf_hub_id, file), str) for file in FILES):
        return None
    try:
        get_hf_file_metadata(hf_hub_url(config.hf_hub_id, FILES[0]), timeout=SECONDS)
    except HfHubHTTPError:
        return None  # the hub answers; what is amiss there timm tells
    except Exception as error:  # of requests, httpx or another, by the release of huggingface_hub
        return " ".join(str(error).split()) or type(error).__name__
    return None
