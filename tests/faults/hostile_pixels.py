"""Image files that want more than to be looked at, each with what is to be said of it."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SECRET = 77  # pixels of the image outside


def npy(header: str, body: bytes = b"") -> bytes:
    """An array's file with any header."""
    text = header.encode() + b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


def shaped(shape: str) -> bytes:
    return npy("{'descr': '<f8', 'fortran_order': False, 'shape': " + shape + ", }", bytes(192))


def other_format(form: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (9, 9, 9)).save(file, form)
    return file.getvalue()


def bomb_png(side: int) -> bytes:
    """A header alone that says how large it is."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def line() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (1, 5000)).save(file, "PNG")
    return file.getvalue()


def vrt(source: object) -> bytes:
    return (
        '<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f"<SourceFilename>{source}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    ).encode()


def wms(port: int) -> bytes:
    return (
        f'<GDAL_WMS><Service name="TMS"><ServerUrl>http://127.0.0.1:{port}/${{z}}/${{x}}/${{y}}.png</ServerUrl></Service>'
        "<DataWindow><UpperLeftX>0</UpperLeftX><UpperLeftY>8</UpperLeftY><LowerRightX>8</LowerRightX>"
        "<LowerRightY>0</LowerRightY><TileLevel>0</TileLevel><TileCountX>1</TileCountX><TileCountY>1</TileCountY>"
        "</DataWindow><BandsCount>3</BandsCount><BlockSizeX>8</BlockSizeX><BlockSizeY>8</BlockSizeY></GDAL_WMS>"
    ).encode()


def sparse(path: Path) -> None:
    """A GeoTIFF of 60,000 x 60,000 pixels in a few kilobytes."""
    rasterio = pytest.importorskip("rasterio", reason="the extra geo is not installed")
    profile = {"driver": "GTiff", "dtype": "uint16", "count": 3, "tiled": True, "sparse_ok": True, "bigtiff": "yes"}
    with rasterio.open(path, "w", width=60_000, height=60_000, blockxsize=8192, blockysize=8192, **profile):
        pass


def postscript(mark: Path) -> bytes:
    return f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n({mark}) (w) file closefile\nshowpage\n%%EOF\n".encode()


# Name, content (of the image outside, a port that is listened at, and a file that must never come), and what is said.
Content = Callable[[Path, int, Path], bytes]
KINDS: Mapping[str, tuple[str, Content, str]] = {
    "vrt of a file outside": ("x.tif", lambda outside, *_: vrt(outside), "x.tif: cannot be read"),
    "vrt of an address": (
        "x.tif",
        lambda _, port, mark: vrt(f"/vsicurl/http://127.0.0.1:{port}/a.tif"),
        "x.tif: cannot",
    ),
    "wms": ("x.tiff", lambda _, port, mark: wms(port), "x.tiff: cannot be read"),
    "eps as jpg": (
        "x.jpg",
        lambda outside, port, mark: postscript(mark),
        "x.jpg: is not an image in a supported format",
    ),
    "gif as png": ("x.png", lambda *_: other_format("GIF"), "x.png: is not an image in a supported format"),
    "tga as jpg": ("x.jpg", lambda *_: other_format("TGA"), "x.jpg: is not an image in a supported format"),
    "pcx as bmp": ("x.bmp", lambda *_: other_format("PCX"), "x.bmp: is not an image in a supported format"),
    "ico as png": ("x.png", lambda *_: other_format("ICO"), "x.png: is not an image in a supported format"),
    "dds as webp": ("x.webp", lambda *_: other_format("DDS"), "x.webp: is not an image in a supported format"),
    "png of 100,000 x 100,000": ("x.png", lambda *_: bomb_png(100_000), "x.png: has more than 178956970 pixels"),
    "png of 13,000 x 13,000 without pixels": ("x.png", lambda *_: bomb_png(13_000), "x.png: cannot be read"),
    "npy of absurd shape": (
        "x.npy",
        lambda *_: shaped("(4000000000, 4000000000, 3)"),
        "values",
    ),
    "npy longer than its file": ("x.npy", lambda *_: shaped("(9000, 9000, 3)"), "but only 192 bytes follow"),
    "npy of negative shape": ("x.npy", lambda *_: shaped("(-1, 8, 3)"), "its header says shape (-1, 8, 3)"),
    "npy of 5,000 brackets": ("x.npy", lambda *_: npy("(" * 5000 + ")" * 4000), "x.npy: cannot be read"),
    "npy of lists in lists": ("x.npy", lambda *_: npy("[" * 4900 + "]" * 4900), "x.npy: cannot be read"),
    "npy of objects": ("x.npy", lambda *_: npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"), "objects"),
}


def write_sound(path: Path, value: int = SECRET, side: int = 32) -> None:
    """An image with nothing wrong."""
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(value)
    Image.fromarray(generator.integers(0, 255, (side, side, 3), np.uint8)).save(path)
