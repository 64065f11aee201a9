"""Run the command line: ``python -m weighmaster``."""

from weighmaster.cli.main import main

if __name__ == "__main__":
    main()
