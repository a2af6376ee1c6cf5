"""Whether the spool can be used, and what waits in it."""

from pathlib import Path
from tempfile import TemporaryFile

from lumina_async._config import LuminaConfig
from lumina_async._spool_folder import check_root, held_back


def spool_state(config: LuminaConfig) -> tuple[bool, str] | None:
    """Return whether all is well with the spool, and what to know of it; None where there is none."""
    if config.spool_dir is None:
        return None
    root = Path(config.spool_dir)
    try:
        check_root(root)
        with TemporaryFile(dir=root):
            pass
        held = held_back(root, config.url)
        files = [path.stat().st_size for path in root.glob("v*-*/*.seg")]
    except OSError as error:
        why = error.strerror or str(error)
        return False, f"The spool cannot be used ({why}): events wait in memory only. Check LUMINA_SPOOL_DIR."
    sentence = f"The spool can be written, and holds {len(files)} files of {sum(files):,} bytes."
    if held:
        there = ", ".join(held[:5])
        return False, f"{sentence} What is in {there} is for another endpoint or a later version, and stays there."
    return True, sentence
