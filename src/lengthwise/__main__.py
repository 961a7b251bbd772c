"""``python -m lengthwise``: the command, where its script is not on the path."""

from lengthwise.cli.main import main

if __name__ == "__main__":
    main()
