#!/usr/bin/env python3
"""Writes font.bin: printable ASCII of Aileron Regular (Sora Sagano, CC0, as Pillow embeds it), drawn once, so that a PNG has text without
any font on the machine.

    pip install pillow
    python src/train/plot/make_font.py

The file: height of a glyph's cell, baseline below its top; then for each character from ' ' to '~': advance, width of its bitmap, and
4-bit coverages, row by row, two to a byte (the low half first), each glyph beginning on a byte of its own.
"""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SIZE = 27
font = ImageFont.load_default(SIZE)
ascent, descent = font.getmetrics()
height = ascent + descent
out = bytearray([height, ascent])
for code in range(32, 127):
    c = chr(code)
    advance = round(font.getlength(c))
    width = max(advance, font.getbbox(c)[2])
    image = Image.new("L", (width, height))
    ImageDraw.Draw(image).text((0, 0), c, font=font, fill=255)
    levels = [round(p / 17) for p in image.tobytes()]
    levels += [0] * (len(levels) % 2)
    out += bytes([advance, width]) + bytes(lo | hi << 4 for lo, hi in zip(levels[::2], levels[1::2]))
path = Path(__file__).parent / "font.bin"
path.write_bytes(out)
print(f"{path}: {len(out)} bytes, {height} rows, baseline {ascent}")
