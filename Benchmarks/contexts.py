# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

"""Build contexts: the same sizes give the same bytes, on every machine and day."""

import random
import string

MEBIBYTE = 1 << 20


def text(size, seed):
    """Words with frequencies as in prose; compresses to about a third."""
    choose = random.Random(seed)
    words = ["".join(choose.choices(string.ascii_lowercase, k=choose.randint(2, 11))) for _ in range(8000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    # 32 MiB is further apart than the windows of gzip and of zstd -3 reach: repeating is not found.
    block = min(size, 32 * MEBIBYTE)
    prose = " ".join(choose.choices(words, weights, k=block // 5)).encode()
    while len(prose) < block:
        prose += prose
    return (prose[:block] * (size // block + 1))[:size]


def noise(size, seed):
    """Bytes that do not compress."""
    return random.Random(seed).randbytes(size)


def file_tree(folder, count, size):
    """Files in 500 directories (fewer when there are fewer files)."""
    directories = min(500, count)
    for number in range(count):
        directory = folder / f"d{number % directories:03d}"
        if number < directories:
            directory.mkdir(parents=True)
        (directory / f"f{number // directories:03d}.txt").write_bytes(line_file(number, size))


def line_file(number, size):
    return (f"{number:07d}\n".encode() * (size // 8 + 1))[:size]


def blob(path, size):
    """Half like text, half random, in turns of one MiB."""
    half = size // 2
    prose, random_bytes = text(half, 1), noise(half, 2)
    with open(path, "wb") as file:
        for offset in range(0, half, MEBIBYTE):
            file.write(prose[offset : offset + MEBIBYTE])
            file.write(random_bytes[offset : offset + MEBIBYTE])


def layers(folder, count, size):
    """Folders of files of 64 KiB, every other one random; `size` bytes in each."""
    for layer in range(count):
        prose, random_bytes = text(size // 2, 10 + layer), noise(size // 2, 20 + layer)
        directory = folder / f"l{layer}"
        directory.mkdir(parents=True)
        for offset in range(0, size // 2, 65536):
            (directory / f"t{offset // 65536:05d}").write_bytes(prose[offset : offset + 65536])
            (directory / f"r{offset // 65536:05d}").write_bytes(random_bytes[offset : offset + 65536])
