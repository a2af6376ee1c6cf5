"""What the clients of OpenAI and Anthropic have in common: every call of theirs goes through their method `request`.

So the methods that the app calls stay as they are, and so do the helpers built on them: parsing, streams with events,
raw responses. A copy of the client (`with_options`) is recorded too.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from copy import copy
from typing import Any

import attrs

from lumina_async._instrument import is_recording, record, record_nowait
from lumina_async.llms._replacing import replace, restore

_RAW = "x-stainless-raw-response"
_COPIES = ("copy", "with_options")
_PACKAGES = {"openai", "anthropic"}


@attrs.define(eq=False)
class Requests:
    """The requests of one client.

    Attributes:
        package: Of the client.
        paths: Those that ask a model.
        inputs: Under which of its fields a request has what is said to the model.
        usage_path: The path whose streams tell the usage only to who asks for it.
        captures_input: Whether what is said to the model is recorded.
    """

    package: str
    paths: frozenset[str]
    inputs: tuple[str, ...]
    usage_path: str | None = None
    captures_input: bool = False

    def instrument(self, client: Any) -> None:
        """Record the requests of a client from now on.

        Raises:
            TypeError: This is no client, or one of the other package.
        """
        packages = {kind.__module__.partition(".")[0] for kind in type(client).__mro__}
        if packages & _PACKAGES - {self.package}:
            other = (packages & _PACKAGES).pop()
            raise TypeError(f"a {type(client).__name__} is a client of {other}: use lumina_async.llms.{other}")
        replace(client, "request", self._recording)
        for name in _COPIES:
            replace(client, name, self._copying)

    def _copying(self, make: Callable[..., Any]) -> Callable[..., Any]:
        def copied(*args: Any, **options: Any) -> Any:
            client = make(*args, **options)
            self.instrument(client)
            return client

        return copied

    def _recording(self, request: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(request):

            async def asynchronous(cast_to: Any, options: Any, **more: Any) -> Any:
                if not self._asks_model(options) or not is_recording():
                    return await request(cast_to, options, **more)
                if not self._wants_usage(options, more):
                    return await record(lambda: request(cast_to, options, **more), self._fields(options))

                def asking() -> Awaitable[Any]:
                    return self._asking(request, cast_to, options, more)

                return await record(asking, self._fields(options), hides_usage=True)

            return asynchronous

        def plain(cast_to: Any, options: Any, **more: Any) -> Any:
            if not self._asks_model(options) or not is_recording():
                return request(cast_to, options, **more)
            if not self._wants_usage(options, more):
                return record_nowait(lambda: request(cast_to, options, **more), self._fields(options))

            def asking() -> Any:
                return self._asking_nowait(request, cast_to, options, more)

            return record_nowait(asking, self._fields(options), hides_usage=True)

        return plain

    def _asks_model(self, options: Any) -> bool:
        return options.method.lower() == "post" and options.url.partition("?")[0] in self.paths

    def _fields(self, options: Any) -> dict[str, Any]:
        given = _named(options.json_data)
        fields: dict[str, Any] = {"model": given.get("model") if isinstance(given.get("model"), str) else None}
        said = {name: given[name] for name in self.inputs if isinstance(given.get(name), str | list)}
        if self.captures_input and said:
            fields["input"] = said if len(said) > 1 else next(iter(said.values()))
        return fields

    def _wants_usage(self, options: Any, more: Mapping[str, Any]) -> bool:
        """Tell whether the usage is to be asked for: the app has not said whether it wants it, and reads a stream."""
        if not more.get("stream") or self.usage_path != options.url:
            return False
        # Who takes the raw response reads the chunks where nothing can be hidden.
        if _RAW in {name.lower() for name in _named(options.headers)}:
            return False
        given = {**_named(options.json_data), **_named(options.extra_json)}
        return "include_usage" not in _named(given.get("stream_options"))

    async def _asking(self, request: Any, cast_to: Any, options: Any, more: Mapping[str, Any]) -> Any:
        try:
            return await request(cast_to, _with_usage(options), **more)
        # Which error it is, only the server knows; any but one goes on.
        except Exception as error:  # noqa: BLE001
            self._refused(error)
        return await request(cast_to, options, **more)

    def _asking_nowait(self, request: Any, cast_to: Any, options: Any, more: Mapping[str, Any]) -> Any:
        try:
            return request(cast_to, _with_usage(options), **more)
        # Which error it is, only the server knows; any but one goes on.
        except Exception as error:  # noqa: BLE001
            self._refused(error)
        return request(cast_to, options, **more)

    def _refused(self, error: Exception) -> None:
        """Raise the error, unless a server refused what only we asked for: then it is not asked again."""
        if getattr(error, "status_code", None) not in {400, 422} or "stream_options" not in str(error):
            raise error
        self.usage_path = None


def _named(value: Any) -> Mapping[str, Any]:
    """Return a mapping as it is; a client has signs of its own for what was not given."""
    return value if isinstance(value, Mapping) else {}  # pyright: ignore[reportUnknownVariableType]


def _with_usage(options: Any) -> Any:
    changed = copy(options)
    asked = {**_named(options.json_data.get("stream_options")), "include_usage": True}
    changed.json_data = {**options.json_data, "stream_options": asked}
    return changed


def uninstrument(client: Any) -> None:
    """Record nothing of this client any more; copies that were made of it keep recording."""
    restore(client, "request", *_COPIES)
