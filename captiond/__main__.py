"""``python -m captiond``."""

from captiond.cli import main

if __name__ == "__main__":
    main()
