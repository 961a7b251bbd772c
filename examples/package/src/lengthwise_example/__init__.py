"""One of each thing that a package can add to lengthwise, a file each; the lines stand in pyproject.toml."""
