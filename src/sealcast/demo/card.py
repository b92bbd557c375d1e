"""Owns the picture of the test card: colour bars, a clock with a frame counter, and a bar that moves.

A picture is three planes of bytes (YUV 4:2:0, limited range): the luma is copied from the card and a few rows
of it written, about 0.2 ms; the chroma is the same for all pictures.
"""

WIDTH, HEIGHT = 1280, 720
FRAMES_PER_S = 25

_BARS = (
    (180, 128, 128),
    (162, 44, 142),
    (131, 156, 44),
    (112, 72, 58),
    (84, 184, 198),
    (65, 100, 212),
    (35, 212, 114),
    (16, 128, 128),
)
"""Y, Cb, Cr of eight bars of 75 % (ITU-R BT.601): white, yellow, cyan, green, magenta, red, blue, black."""

_BLACK, _WHITE = 16, 235
_DOT = 10
"""Pixels to one dot of a glyph."""

_GLYPH_DOTS, _GLYPH_ROWS = 6, 7
_CLOCK_TOP, _MOVER_TOP, _MOVER_ROWS, _MOVER_WIDTH = 480, 620, 60, 80
_MOVER_STEP = 12
"""Pixels that the bar moves from picture to picture: its way across takes 4 s."""

_GLYPHS = {
    "0": ("01110", "10001", "10011", "10101", "11001", "10001", "01110"),
    "1": ("00100", "01100", "00100", "00100", "00100", "00100", "01110"),
    "2": ("01110", "10001", "00001", "00110", "01000", "10000", "11111"),
    "3": ("11111", "00010", "00100", "00010", "00001", "10001", "01110"),
    "4": ("00010", "00110", "01010", "10010", "11111", "00010", "00010"),
    "5": ("11111", "10000", "11110", "00001", "00001", "10001", "01110"),
    "6": ("00110", "01000", "10000", "11110", "10001", "10001", "01110"),
    "7": ("11111", "00001", "00010", "00100", "01000", "01000", "01000"),
    "8": ("01110", "10001", "10001", "01110", "10001", "10001", "01110"),
    "9": ("01110", "10001", "10001", "01111", "00001", "00010", "01100"),
    ":": ("00000", "00100", "00100", "00000", "00100", "00100", "00000"),
    ".": ("00000", "00000", "00000", "00000", "00000", "01100", "01100"),
    " ": ("00000", "00000", "00000", "00000", "00000", "00000", "00000"),
}


class Card:
    """Draws the pictures of the test card."""

    def __init__(self) -> None:
        self._luma = _bars(0, WIDTH, HEIGHT)
        for row in range(_CLOCK_TOP - 20, HEIGHT):
            self._luma[row * WIDTH : (row + 1) * WIDTH] = bytes([_BLACK]) * WIDTH
        self.chroma = (bytes(_chroma(1)), bytes(_chroma(2)))
        self._rows = {glyph: [_glyph_row(dots) for dots in rows] for glyph, rows in _GLYPHS.items()}

    def luma(self, number: int) -> bytes:
        """Return the luma plane of picture `number`: 1280 · 720 bytes."""
        plane = bytearray(self._luma)
        self._draw_text(plane, clock_text(number))
        self._draw_mover(plane, number * _MOVER_STEP % (WIDTH - _MOVER_WIDTH))
        return bytes(plane)

    def _draw_text(self, plane: bytearray, text: str) -> None:
        for glyph_row in range(_GLYPH_ROWS):
            line = b"".join(self._rows[glyph][glyph_row] for glyph in text)
            left = (WIDTH - len(line)) // 2
            for row in range(_CLOCK_TOP + glyph_row * _DOT, _CLOCK_TOP + (glyph_row + 1) * _DOT):
                plane[row * WIDTH + left : row * WIDTH + left + len(line)] = line

    def _draw_mover(self, plane: bytearray, left: int) -> None:
        line = bytes([_WHITE]) * _MOVER_WIDTH
        for row in range(_MOVER_TOP, _MOVER_TOP + _MOVER_ROWS):
            plane[row * WIDTH + left : row * WIDTH + left + _MOVER_WIDTH] = line


def clock_text(number: int) -> str:
    """Return what the clock shows in picture `number`: minutes:seconds.picture and the number itself."""
    seconds, picture = divmod(number, FRAMES_PER_S)
    return f"{seconds // 60:02}:{seconds % 60:02}.{picture:02}  {number:06}"


def _bars(component: int, width: int, height: int) -> bytearray:
    bar_width = width // len(_BARS)
    return bytearray(b"".join(bytes([bar[component]]) * bar_width for bar in _BARS) * height)


def _chroma(component: int) -> bytearray:
    """Return a chroma plane: bars above the clock, none behind it."""
    width, top = WIDTH // 2, (_CLOCK_TOP - 20) // 2
    plane = _bars(component, width, HEIGHT // 2)
    plane[top * width :] = bytes([128]) * (len(plane) - top * width)
    return plane


def _glyph_row(dots: str) -> bytes:
    padded = dots.ljust(_GLYPH_DOTS, "0")
    return b"".join(bytes([_WHITE if dot == "1" else _BLACK]) * _DOT for dot in padded)
