"""A single check whether the hub that timm downloads from can be reached."""

from __future__ import annotations

import timm
from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError

FILES = ("model.safetensors", "pytorch_model.bin")  # timm takes the first that exists
SECONDS = 10


def unreachable(name: str) -> str | None:
    """Return why the weights of a timm model cannot be downloaded; None if they can be, or are cached.

    Without this check, timm retries for most of a minute and prints two lines to stderr each time.
    """
    config = timm.get_pretrained_cfg(name)
    if config is None or config.hf_hub_id is None:
        return None
    if any(isinstance(try_to_load_from_cache(config.hf_hub_id, file), str) for file in FILES):
        return None
    try:
        get_hf_file_metadata(hf_hub_url(config.hf_hub_id, FILES[0]), timeout=SECONDS)
    except HfHubHTTPError:
        return None  # the hub answers; timm reports what is wrong
    except Exception as error:  # from requests, httpx or another library, depending on huggingface_hub's version
        return " ".join(str(error).split()) or type(error).__name__
    return None
