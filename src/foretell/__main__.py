"""``python -m foretell`` is ``foretell``."""

from foretell.cli.main import main

if __name__ == "__main__":
    main()
