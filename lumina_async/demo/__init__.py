"""`lumina demo`: a chat app, people who talk to it over HTTP, and a look at what the collector then holds."""
