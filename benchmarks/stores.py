"""Where encoded images lie, and who decodes them: random batches out of our shards and other stores.

python -m benchmarks.stores
"""

import io
import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.harness import MissingRival, compare, machine, table
from commands import new_parser
from noisy_student.runtime import console

BATCH = 128
BATCHES = 4  # a turn
SETS = {32: (20_000, "png"), 224: (4_000, "jpeg")}  # side: images, encoding
OURS = "shards: .tar and index, threads (ours)"


def smooth(number, side):
    """Smooth random images, as photographs are, (number, side, side, 3) uint8."""
    import cv2

    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (number, 6, 6, 3), np.uint8)
    return np.stack([cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC) for image in small])


def records(side):
    """The encoded images of a set."""
    from noisy_student.data.images import encode

    number, encoding = SETS[side]
    return [encode(image, encoding) for image in smooth(500, side)] * (number // 500)


def turns(read, number):
    """A portion of work: some random batches; `read` takes rows and returns the images."""
    rng = np.random.default_rng(1)

    def portion():
        for _ in range(BATCHES):
            images = read(rng.integers(0, number, BATCH))
            assert images.shape[0] == BATCH
        return BATCHES * BATCH

    return portion


def _shards(side):
    from noisy_student.data.shards import open_shards, write_shards
    from noisy_student.data.views import RawImages

    folder, (number, encoding) = Path(tempfile.mkdtemp()), SETS[side]
    write_shards(folder, RawImages(smooth(500, side)), np.arange(number) % 500, encoding=encoding)
    return open_shards(folder)


def shards(side):
    """Our shards."""
    images = _shards(side)
    return turns(images.__getitem__, len(images))


def shards_alone(side):
    """Our shards without threads."""
    images = _shards(side)
    return turns(lambda rows: np.stack([images[int(row)] for row in rows]), len(images))


def _decode_all(data):
    from noisy_student.data.images import decode

    return np.stack([decode(item) for item in data])


def shards_processes(side):
    """Our shards, decoded by processes, whose images travel back."""
    images = _shards(side)
    cores = len(os.sched_getaffinity(0))
    pool = ProcessPoolExecutor(cores, multiprocessing.get_context("spawn"))

    def read(rows):
        data = [images.encoded(row, images.encoding) for row in rows]
        return np.concatenate(list(pool.map(_decode_all, [data[k::cores] for k in range(cores)])))

    return turns(read, len(images))


def _threaded(fetch, number):
    """Decode what `fetch` gives for rows by threads."""
    from noisy_student.data.images import decode

    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    return turns(lambda rows: np.stack(list(pool.map(decode, fetch(rows)))), number)


def array_record(side):
    """ArrayRecord, one image a group."""
    try:
        from array_record.python import array_record_module
    except ImportError as error:
        raise MissingRival("array_record is not installed") from error
    path = str(Path(tempfile.mkdtemp()) / "images.array_record")
    writer = array_record_module.ArrayRecordWriter(path, "group_size:1,uncompressed")
    for item in records(side):
        writer.write(item)
    writer.close()
    reader = array_record_module.ArrayRecordReader(path, "readahead_buffer_size:0")
    return _threaded(lambda rows: reader.read(rows.tolist()), SETS[side][0])


def parquet(side):
    """Parquet, row groups of 64 images."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingRival("pyarrow is not installed") from error
    path = Path(tempfile.mkdtemp()) / "images.parquet"
    column = pyarrow.table({"image": pyarrow.array(records(side), pyarrow.binary())})
    pyarrow.parquet.write_table(column, path, compression="none", row_group_size=64)
    file = pyarrow.parquet.ParquetFile(path, memory_map=True)

    def fetch(rows):
        return [file.read_row_group(int(row) // 64)["image"][int(row) % 64].as_py() for row in rows]

    return _threaded(fetch, SETS[side][0])


def files(side):
    """A file an image, read by Pillow in one thread, as from a folder."""
    from PIL import Image

    folder = Path(tempfile.mkdtemp())
    for row, item in enumerate(records(side)):
        (folder / str(row)).write_bytes(item)

    def read(rows):
        return np.stack([np.asarray(Image.open(io.BytesIO((folder / str(row)).read_bytes()))) for row in rows])

    return turns(read, SETS[side][0])


def main():
    """Print the section of the report."""
    print("## Stores of images\n")
    print(
        f"`python -m benchmarks.stores`: random batches of {BATCH} images out of 20,000 PNGs of 32 pixels\n"
        "and 4,000 JPEGs of 224, decoded to one array; everything lies in the system's cache.\n"
    )
    print(machine("numpy", "opencv-python-headless", "array-record", "pyarrow"))
    for side in SETS:
        contestants = {
            OURS: shards,
            "the same, one thread": shards_alone,
            "the same, processes": shards_processes,
            "ArrayRecord, threads": array_record,
            "Parquet, threads": parquet,
            "files, Pillow, one thread": files,
        }
        made = {name: partial(factory, side) for name, factory in contestants.items()}
        print(f"\n{side} pixels:\n")
        print(table(compare(made, rounds=5), unit="images/s", reference=OURS))


if __name__ == "__main__":
    console.use_utf8()
    new_parser("benchmarks.stores", __doc__).parse_args()
    main()
