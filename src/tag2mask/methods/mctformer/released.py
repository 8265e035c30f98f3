"""What MCTformer's released checkpoints hold: see ``tag2mask.methods.released``.

The papers' counts fix what is beside DeiT: at 20 classes 21.688 M numbers (V1) with a linear head that nothing reads,
21.749 M (V2) with the convolution in its place; both keep the final norm. Of + there is no count.
"""

from __future__ import annotations

from tag2mask.methods.released import APART, TOGETHER, Layout, convolution

V1 = Layout(TOGETHER, lambda size: {})
V2 = Layout(TOGETHER, convolution)
PLUS = Layout(APART, convolution)
