"""The transformer shared by all methods: a plain timm ViT with class tokens, registers, head gates and a tap."""
