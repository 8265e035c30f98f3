from __future__ import annotations

import pytest
from backbones import FAMILIES, small
from torch import nn


@pytest.fixture(params=FAMILIES)
def backbone(request: pytest.FixtureRequest) -> nn.Module:
    return small(request.param)
