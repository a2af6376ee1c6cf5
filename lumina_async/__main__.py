"""`python -m lumina_async` is the command `lumina`."""

from lumina_async.cli import main

if __name__ == "__main__":
    main()
