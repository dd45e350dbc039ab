"""The expected values of DataContentTests.swift: data.sha256 by its definition.

python3 data_content.py
"""
import hashlib

CHUNK = 1 << 20


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def part(data, extents):
    chunks = [sha256(data[i : i + CHUNK]) for i in range(0, len(data), CHUNK)]
    return sha256((extents + "".join("\n" + chunk for chunk in chunks)).encode())


def pixels(count, factor, row):
    return bytes((i * factor + i // row) & 255 for i in range(count))


parts = [
    part(pixels(3 * 700 * 1000, 37, 1000), "3 × 700 × 1000 × 1 []"),
    part(bytes([0, 1, 2]), "3 of 3 classes"),
    part(pixels(700 * 1000, 11, 1 << 62), "1 × 700 × 1000 × 1 []"),
    part(bytes([1]), "1 of 3 classes"),
]
for digest in parts:
    print(digest)
print(sha256("\n".join(parts).encode()))
