"""`python -m minibit` is the command `minibit`."""

from minibit.cli import main

if __name__ == "__main__":
    main()
