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
    if config is None or config.hf_hub_id is None or is_cached(config.hf_hub_id):
        return None
    return silence_of(config.hf_hub_id)


def is_cached(repository: str) -> bool:
    """Whether the weights of a repository were downloaded before."""
    return any(isinstance(try_to_load_from_cache(repository, file), str) for file in FILES)


def silence_of(repository: str, seconds: float = SECONDS) -> str | None:
    """Return why the hub does not answer about a repository within some seconds; None if it does."""
    try:
        get_hf_file_metadata(hf_hub_url(repository, FILES[0]), timeout=seconds)
    except HfHubHTTPError:
        return None  # the hub answers; timm reports what is wrong
    except Exception as error:  # from requests, httpx or another library, depending on huggingface_hub's version
        return " ".join(str(error).split()) or type(error).__name__
    return None
