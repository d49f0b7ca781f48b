"""Pages of the documentation that are written from the registry, the recipes and the commands."""
