"""Who and which session, request by request. Import the module of your framework: `asgi`, `fastapi` or `aiohttp`."""
