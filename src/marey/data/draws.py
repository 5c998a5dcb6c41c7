"""What chance decided for one clip. Drawing and doing are apart, so that the doing can happen on any device, for
one clip or for many at once, with the same result.

A draw is a pure function of (seed, epoch, row); it holds plain numbers alone and travels between processes.
"""

from __future__ import annotations

from dataclasses import dataclass

from marey.video.picture import Box

__all__ = ["Box", "ClipDraw", "Operation"]


@dataclass(frozen=True)
class Operation:
    """One named change and its strength, in the operation's own unit; see `marey.data.colours` and
    `marey.data.automatic`."""

    name: str
    value: float = 0.0

    def __str__(self) -> str:
        return (
            self.name
            if self.name in ("nothing", "autocontrast", "equalize")
            else f"{self.name} {self.value:.2g}"
        )


@dataclass(frozen=True, kw_only=True)
class ClipDraw:
    """Everything drawn for one clip, in the order in which it is done.

    Attributes:
        box: what is cut from the frames as decoded; it is then scaled to the size of the network's input.
        mirrored, upside_down: the flips.
        warps: shears, shifts and turns of the whole clip, done at once and resampled once.
        colours: changes of all frames alike.
        flicker: changes of each frame by itself, one tuple a frame; empty unless asked for.
        noise: standard deviation in levels of 0…255.
        noise_seed: of its field.
        grain: a field for each frame; else one for all.
        erased: a rectangle of the output, painted over in all frames.
    """

    box: Box
    mirrored: bool = False
    upside_down: bool = False
    warps: tuple[Operation, ...] = ()
    colours: tuple[Operation, ...] = ()
    flicker: tuple[tuple[Operation, ...], ...] = ()
    noise: float = 0.0
    noise_seed: int = 0
    grain: bool = False
    erased: Box | None = None

    def __str__(self) -> str:
        """In a person's words."""
        top, left, height, width = self.box
        words = [f"{width}×{height} cut at ({left}, {top})"]
        words += ["mirrored"] * self.mirrored + ["upside down"] * self.upside_down
        words += [str(each) for each in (*self.warps, *self.colours)]
        if self.flicker:
            words.append(
                f"{' and '.join(sorted({o.name for frame in self.flicker for o in frame}))} in each frame"
            )
        if self.noise:
            words.append(f"noise ±{self.noise:.1f} levels" + (" in each frame" if self.grain else ""))
        if self.erased is not None:
            words.append(f"{self.erased[3]}×{self.erased[2]} painted over")
        return ", ".join(words)
