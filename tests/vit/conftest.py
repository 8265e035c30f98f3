from __future__ import annotations

import pytest
from torch import nn

from backbones import FAMILIES, small


@pytest.fixture(params=FAMILIES)
def backbone(request: pytest.FixtureRequest) -> nn.Module:
    return small(request.param)
