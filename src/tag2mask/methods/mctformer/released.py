"""Layouts of MCTformer's released checkpoints: see ``tag2mask.methods.released``.

The papers' parameter counts determine what is added to DeiT. At 20 classes V1 has 21.688 M parameters, which includes
an unused linear head; V2 has 21.749 M, with the convolution in its place. Both keep the final norm. For + no count is
published.
"""

from __future__ import annotations

from tag2mask.methods.released import APART, TOGETHER, Layout, convolution

V1 = Layout(TOGETHER, lambda size: {})
V2 = Layout(TOGETHER, convolution)
PLUS = Layout(APART, convolution)
