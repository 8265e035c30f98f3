"""One transformer for all methods: a plain timm ViT with class tokens, registers, head gates and an attention tap."""
