"""From all shards to one ordinary mask set."""

from __future__ import annotations

from pathlib import Path

from tag2mask.errors import MaskSetError
from tag2mask.files import held
from tag2mask.masks.shards import open_shards, undamaged
from tag2mask.masks.write import MaskSetSummary, MaskSetWriter
from tag2mask.progress import progress_bar


def merge(shards: Path, out: Path) -> MaskSetSummary:
    """Write the mask set of all shards in a folder, as the same command without shards writes it.

    After an interruption, the same call continues.

    Raises:
        MaskSetError: shards are missing or damaged or not parts of one mask set, or ``out`` holds something else.
    """
    if out.resolve().is_relative_to(shards.resolve()):
        raise MaskSetError(f"--out {out} is inside {shards}, where only shards belong; choose a folder outside it")
    opened = open_shards(shards)
    failures: dict[str, str] = {}
    with held(out):
        writer = MaskSetWriter(out, opened[0].classes, opened[0].origin())
        with progress_bar("merge", len(opened)) as bar:
            for shard in opened:
                failures |= shard.manifest.failures
                for name, tags in shard.manifest.image_tags.items():
                    if not writer.has(name):
                        with undamaged(shard.path):
                            files = {member: packed.read() for member, packed in shard.files_of(name).items()}
                        for member, content in files.items():
                            writer.put(member, content)
                        writer.note(name, tags, name in shard.fallbacks)
                bar.advance()
        return writer.finish(failures)
