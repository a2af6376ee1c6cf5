"""Who may import whom: data goes down, imports go down the same way (DESIGN 1)."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "lumina_async"

GROUND = {
    "_version",
    "_log",
    "errors",
    "_protocols",
    "_options",
    "_compression",
    "_config",
    "_values",
    "_trace",
    "_pii",
    "_pii_numbers",
    "_tokens",
    "_tasks",
}
WIRE = {"_outcome", "_transport"}
DELIVER = {
    "_segment",
    "_spool_folder",
    "_spool",
    "_spool_writer",
    "_tending",
    "_batch",
    "_queue",
    "_handover",
    "_flushes",
    "_ledger",
    "_endpoint",
    "_delivery",
    "_stock",
    "_schedule",
    "_flusher",
}
SERIALISE = {"_encode", "_shrink"}
MODEL = {
    "_events",
    "_usage",
    "_said",
    "_shapes",
    "_chunks",
    "_messages",
    "_retrieval",
    "_privacy",
    "_endings",
    "_identity",
    "_replay",
}
CALLER = {
    "_stream",
    "_inside",
    "_seam",
    "_watch",
    "_on_entry",
    "_calls",
    "_draft",
    "_observe",
    "_turn",
    "_decorators",
    "_hooks",
    "_recorder",
    "_session",
    "_client",
}
CALLER |= {"_fork", "_identity_file", "_people", "_chat_input"}

# What each module may import beside the ground. A module that is not here does not exist.
ALLOWED: dict[str, set[str]] = {
    # ground
    "_version": set(),
    "_log": set(),
    "errors": set(),
    "_protocols": set(),
    "_options": set(),
    "_compression": set(),
    "_config": set(),
    "_values": set(),
    "_trace": set(),
    "_pii": set(),
    "_pii_numbers": set(),
    "_tokens": set(),
    "_tasks": set(),
    # wire
    "_outcome": set(),
    "_transport": {"_outcome"},
    # deliver: bytes only; `_encode` is asked for the form of a time and nothing else
    "_segment": set(),
    "_spool_folder": {"_segment"},
    "_spool_writer": {"_batch", "_segment", "_spool_folder"},
    "_spool": {"_batch", "_segment", "_spool_folder", "_spool_writer"},
    "_tending": {"_batch", "_ledger", "_queue", "_spool"},
    "_batch": {"_segment"},
    "_ledger": set(),
    "_flushes": set(),
    "_handover": {"_batch"},
    "_queue": {"_batch"},
    "_endpoint": set(),
    "_delivery": {"_batch", "_endpoint", "_ledger", "_outcome", "_transport", "_encode"},
    "_stock": {"_batch", "_ledger", "_queue", "_spool", "_spool_writer", "_tending"},
    "_schedule": {"_batch", "_endpoint", "_flushes", "_stock"},
    "_flusher": {"_batch", "_delivery", "_endpoint", "_flushes", "_handover", "_ledger", "_schedule", "_transport"}
    | {"_spool", "_spool_writer", "_stock"},
    # serialise
    "_shrink": set(),
    "_encode": {"_events", "_shrink"},
    # model
    "_usage": set(),
    "_said": {"_usage"},
    "_shapes": {"_said", "_usage"},
    "_chunks": {"_said", "_shapes", "_usage"},
    "_events": {"_said"},
    "_messages": set(),
    "_retrieval": set(),
    "_privacy": {"_messages", "_retrieval"},
    "_endings": {"_events", "_handover"},
    "_identity": {"_session", "_turn"},
    "_replay": {"_identity"},
    # caller
    "_inside": {"_said"},
    "_seam": {"_events", "_privacy"},
    "_stream": {"_endings", "_events", "_handover", "_inside", "_usage"},
    "_watch": {"_calls", "_chunks", "_endings", "_events", "_inside", "_seam", "_said", "_shapes", "_usage"},
    "_on_entry": {"_inside", "_stream", "_usage", "_watch"},
    "_calls": {"_chunks", "_events", "_inside", "_privacy", "_said", "_shapes", "_stream", "_usage"},
    "_draft": {"_calls", "_endings", "_events", "_handover", "_seam"},
    "_observe": {"_calls", "_draft", "_events", "_on_entry", "_shapes", "_stream", "_usage", "_watch"},
    "_turn": {"_calls", "_draft", "_events", "_identity", "_inside", "_observe", "_retrieval", "_seam"},
    "_instrument": {"_calls", "_draft", "_handover", "_identity", "_inside", "_observe", "_shapes", "_stream"}
    | {"_usage", "_watch"},
    "_decorators": {"_calls", "_identity", "_observe"},
    "_hooks": {"_events", "_handover"},
    "_recorder": {"_hooks", "_encode", "_events", "_handover", "_ledger", "_privacy", "_seam"},
    "_session": {"_events", "_identity", "_recorder", "_turn"},
    "_identity_file": {"_identity"},
    "_people": {"_events", "_identity", "_identity_file", "_recorder"},
    "_chat_input": {"_client", "_events", "_recorder"},
    "_fork": set(),
    "_client": {
        "_flusher",
        "_fork",
        "_spool",
        "_handover",
        "_identity",
        "_ledger",
        "_people",
        "_recorder",
        "_session",
        "_transport",
    },
    "__init__": {
        "_calls",
        "_chat_input",
        "_client",
        "_decorators",
        "_identity",
        "_ledger",
        "_messages",
        "_privacy",
        "_retrieval",
        "_session",
        "_turn",
    },
    # the rim: public names only
    "log_context": {""},
    "providers": {"", "_replay"},
    # what a client is asked and answers goes to the call or the turn that is current
    "llms": {"", "_handover", "_inside", "_instrument", "_stream", "_watch"},
    # it makes the scope of a request, says whether the client left, and reads what the browser says of its replay
    "frameworks": {"", "_chat_input", "_endings", "_events", "_identity", "_recorder", "_replay"},
    # another program in the same wheel, its command line, and the demo that uses both as anybody would
    "collector": {"_events"},
    "cli": {"collector", "demo", "doctor"},
    "__main__": {"cli"},
    "demo": {"", "collector", "frameworks"},
    # the doctor goes the way of a batch, by the transport and the outcomes that the SDK itself uses
    "doctor": {"_encode", "_outcome", "_spool_folder", "_transport"},
    # the kit stands in for the wire, and reads the books of a client; the session is only named in its types
    "testing": {"", "_outcome", "_session", "_transport"},
    "pytest_plugin": {"", "collector", "testing"},
}
# The only imports that go up, and only for types: the scope holds the session and the turn without knowing them.
TYPES_ONLY = {("_identity", "_session"), ("_identity", "_turn")}
GROUND_ORDER = {
    "_options": {"_protocols", "errors"},
    "_compression": set(),
    "_config": {"_compression", "_options", "_protocols", "errors"},
    "_pii": {"_pii_numbers"},
    "_pii_numbers": set(),
    "_values": {"_log"},
    "_trace": set(),
    "_protocols": {"_tasks"},
    "_log": set(),
    "_tasks": set(),
    "_tokens": set(),
    "_version": set(),
    "errors": set(),
}


def module_of(path: Path) -> str:
    """The unit that the table speaks of: a module of the package, or one of its sub-packages as a whole."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[tuple[str, bool]]:
    """What a file imports of the package, and whether for types only; imports inside functions included."""
    tree = ast.parse(path.read_text())
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[tuple[str, bool]] = set()
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [
                f"{node.module}.{alias.name}" if node.module == "lumina_async" else str(node.module)
                for alias in node.names
            ]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            first, _, rest = name.partition(".")
            if first == "lumina_async":
                unit = rest.partition(".")[0]
                known = (PACKAGE / f"{unit}.py").exists() or (PACKAGE / unit).is_dir()
                found.add((unit if known else "", node in for_types))
    return found


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_each_module_imports_only_what_the_table_allows(path: Path) -> None:
    """The rim depends on the core, never the reverse; below the encoder there are only bytes."""
    module = module_of(path)
    for imported, for_types in imports(path):
        if imported == module:
            continue
        if imported in GROUND:
            assert module not in GROUND or imported in GROUND_ORDER[module], f"{module} -> {imported}"
        else:
            assert imported in ALLOWED[module], f"{module} imports {imported or 'the public names'}"
        assert for_types or (module, imported) not in TYPES_ONLY, f"{module} -> {imported} is for types only"


def test_there_are_no_cycles() -> None:
    """Without the imports for types the modules form no circle."""
    edges: dict[str, set[str]] = {}
    for path in FILES:
        edges.setdefault(module_of(path), set()).update(name for name, for_types in imports(path) if not for_types)

    def walk(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        for imported in edges.get(module or "__init__", set()) - {module}:
            walk(imported or "__init__", (*path, module))

    for module in edges:
        walk(module, ())


def test_the_flusher_and_all_below_know_no_turns() -> None:
    """Delivery and wire never import the caller's layer, the model or the privacy rules."""
    for module in DELIVER | WIRE:
        assert not ALLOWED[module] & (CALLER | MODEL), module


def test_no_asyncio_object_is_made_at_import() -> None:
    """A queue, lock, event or task at module level would be bound to the first loop that uses it."""
    kinds = {"Queue", "Lock", "Event", "Condition", "Semaphore", "Future", "ClientSession", "create_task"}
    for path in FILES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                made = {
                    ast.unparse(call.func).removeprefix("asyncio.").removeprefix("aiohttp.")
                    for call in ast.walk(node.value)
                    if isinstance(call, ast.Call)
                }
                assert not made & kinds, f"{path}:{node.lineno}"
