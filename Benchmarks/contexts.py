# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

"""Build contexts: the same sizes give the same bytes, on every machine and day."""

import random
import string

MEBIBYTE = 1 << 20
FILE = 1 << 16


def text(seed):
    """32 MiB of words with frequencies as in prose; compresses to less than half. Said again and again it is no easier:
    that is further apart than the windows of gzip and of zstd -3 reach."""
    choose = random.Random(seed)
    words = ["".join(choose.choices(string.ascii_lowercase, k=choose.randint(2, 11))) for _ in range(8000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    prose = " ".join(choose.choices(words, weights, k=32 * MEBIBYTE // 4)).encode()
    return prose[: 32 * MEBIBYTE]


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
    prose, noise = text(1), random.Random(2)
    with open(path, "wb") as file:
        for offset in range(0, size // 2, MEBIBYTE):
            begin = offset % len(prose)
            file.write(prose[begin : begin + MEBIBYTE])
            file.write(noise.randbytes(MEBIBYTE))


def layers(folder, count, size):
    """Folders of files of 64 KiB, every other one random; `size` bytes in each."""
    prose = text(3)
    for layer in range(count):
        noise = random.Random(10 + layer)
        directory = folder / f"l{layer}"
        directory.mkdir(parents=True)
        for number in range(size // FILE // 2):
            begin = (number + layer * size // FILE) * FILE % len(prose)
            (directory / f"t{number:05d}").write_bytes(prose[begin : begin + FILE])
            (directory / f"r{number:05d}").write_bytes(noise.randbytes(FILE))
