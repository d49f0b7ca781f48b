"""Measuring: one denoising step, one training step, one operator; tables, JSON and pictures of what was measured."""
