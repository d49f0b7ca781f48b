"""The recipe of a backbone that is built in no time."""

RECIPE = """
version: 1
title: A tiny one
about: For a test.
shape: [3, 8, 8]
process: vp_sde
backbone:
  width: 16
  depth: 1
  patch: {use: conv, size: 4}
  conditioning: {tokens: [time], embed: {time: sinusoid}}
  position: learned
  mixer: {use: attention, heads: 2}
  norm: layer
train: {loggers: []}
"""
