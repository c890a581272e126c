"""What lies in a broker's folder, for tests that take it away again: the batches of a partition's log, as Kafka's own files have
them (a batch: base offset, length, ..., count of records at byte 57)."""
import glob
import os
import struct


def batches(folder):
    """[(the first offset behind it, file, where it ends)], of one partition's folder, in order."""
    found = []
    for file in sorted(glob.glob(os.path.join(folder, "*.log"))):
        with open(file, "rb") as f:
            raw = f.read()
        at = 0
        while at + 61 <= len(raw):
            base, length = struct.unpack_from(">qi", raw, at)
            (last,) = struct.unpack_from(">i", raw, at + 23)
            if length <= 0 or at + 12 + length > len(raw):
                break
            at += 12 + length
            found.append((base + last + 1, file, at))
    return found


def cut(folder, batches_away):
    """The log loses that many batches at its end, as by a power cut. The offset at which it ends now, and where it ended."""
    found = batches(folder)
    if len(found) <= batches_away:
        raise AssertionError(f"{folder} has {len(found)} batches only")
    kept = found[-1 - batches_away]
    for file in {f for _, f, _ in found[-batches_away:]}:
        os.truncate(file, kept[2] if file == kept[1] else 0)
    return kept[0], found[-1][0]
