"""The server as a process."""

from tests.servers.gemini.process import main

if __name__ == "__main__":
    main()
