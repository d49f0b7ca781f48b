from zoo.builder import *  # temporary: the module is zoo/builder.py
from zoo.builder import as_recipe, build, build_backbone, build_process, factory, section, summary
