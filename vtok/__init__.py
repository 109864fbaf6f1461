"""vtok: images to tokens for multimodal models, and tokens back to images."""

__version__ = "0.1.0"
