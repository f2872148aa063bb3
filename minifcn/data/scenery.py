"""What stands in a generated street, and how it is drawn: from far to near, in metres.

A `Street` decides about light, road and camera, builds a list of (distance, how to draw it), and
draws the list from its far end, so that what is near hides what is behind it. Left and right are
the sides -1 and 1; x is 0 in the middle of the road.
"""
from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable

import numpy as np

from minifcn.data.canvas import NEAR, Camera, Canvas, Colour

(SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST) = range(11)

FAR = 120.0         # where the street ends
STRIPS = (NEAR, 4, 8, 14, 22, 35, 60, FAR, 400)     # of the ground, each of one colour
WALLS = ((198, 172, 130), (168, 92, 68), (144, 78, 58), (214, 198, 164), (188, 142, 98),
         (206, 176, 148), (180, 116, 86), (156, 122, 96), (222, 208, 184))
ROOFS = ((116, 62, 48), (96, 74, 66), (134, 80, 56), (82, 66, 64))
GREENS = ((58, 92, 34), (76, 108, 40), (46, 80, 36), (94, 116, 44), (66, 100, 48), (116, 106, 40))
PAINTS = ((172, 24, 28), (30, 50, 116), (28, 30, 34), (222, 222, 222), (124, 130, 140),
          (188, 194, 202), (36, 80, 66), (94, 22, 36), (206, 172, 44), (66, 100, 166))
CLOTHES = ((34, 38, 60), (28, 28, 30), (56, 62, 84), (72, 60, 56), (40, 74, 130), (150, 36, 60),
           (212, 208, 206), (112, 62, 128), (178, 70, 104), (60, 104, 110))
VESTS = ((216, 224, 58), (244, 138, 36), (150, 214, 70))      # of people on bicycles
SKINS = ((222, 178, 148), (186, 136, 102), (122, 82, 60), (236, 196, 170))
GLASS = (52, 62, 74)
STEEL = (122, 124, 122)
OCTAGON = tuple((math.cos(eighth * math.pi / 4), math.sin(eighth * math.pi / 4))
                for eighth in range(8))

# Side views, from the back at the left: (metres from the back, height); then the glass in them.
CARS = {
    "hatchback": ([(0, .4), (.05, .95), (.45, 1.42), (2.1, 1.46), (2.9, .98), (3.85, .82),
                   (3.95, .38)], [(.42, .98), (.62, 1.32), (2.05, 1.36), (2.7, .98)], 1.72),
    "saloon": ([(0, .42), (.05, .9), (.8, .98), (1.35, 1.4), (2.6, 1.42), (3.35, .96), (4.35, .8),
                (4.45, .38)], [(1.0, .98), (1.45, 1.32), (2.55, 1.34), (3.15, .96)], 1.78),
    "van": ([(0, .45), (.05, 1.2), (.15, 2.05), (3.4, 2.05), (4.2, 1.2), (4.9, 1.05), (5.0, .42)],
            [(3.0, 1.25), (3.0, 1.8), (3.45, 1.8), (4.0, 1.25)], 1.95),
    "bus": ([(0, .4), (.05, 1.3), (.1, 2.95), (9.8, 2.95), (10, 1.3), (10.05, .4)],
            [(.4, 1.35), (.4, 2.4), (9.6, 2.4), (9.6, 1.35)], 2.45),
}


def shade(colour: Colour, factor: float) -> Colour:
    """The colour in more or less light."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Between two colours."""
    return tuple(a + (b - a) * share for a, b in zip(one, other))


class Street:
    """A street scene.

    Parameters
    ----------
    size : (h, w)
    chance : random.Random
        Decides everything that can be chosen.
    """

    def __init__(self, size: tuple[int, int], chance: random.Random) -> None:
        self.chance = chance
        between = chance.uniform
        self.half = between(3.0, 4.7)                   # of the road's width
        self.front = self.half + between(2.4, 5.2)      # where the buildings begin
        self.sunny = max(0.0, between(-0.4, 1))         # 0 overcast .. 1 blazing
        self.sun = self.pick((-1, 1))                   # the side that the light comes from
        self.green = between(0, 1)                      # how many trees
        self.urban = between(0, 1)                      # how high and close the buildings
        self.things: list[tuple[float, Callable[[], None]]] = []

        warm = between(-8, 12)
        self.zenith = mix((194 + warm, 202, 214), (100, 154, 224), self.sunny * between(0.5, 1))
        low = mix((218, 222, 228), (206, 224, 240), self.sunny)
        self.skyline = (low[0] + warm, low[1], low[2] - warm)
        h, w = size
        focal = 2 * between(1.0, 1.3) * math.sqrt(h * w)
        camera = Camera(focal, w * (1 + between(-0.16, 0.16)), 2 * h * between(0.46, 0.56),
                        -self.half * between(0.1, 0.6) * self.pick((-1, 1, 1)), between(1.3, 2.1),
                        between(-1, 1) * 0.0012)
        self.canvas = Canvas(size, camera, (self.skyline, between(0.001, 0.008)))
        self.unit = focal       # quarter pixels of a metre at a distance of one metre

    def pick(self, options):
        """One of them."""
        return options[int(self.chance.random() * len(options))]

    def happens(self, probability: float) -> bool:
        return self.chance.random() < probability

    def tint(self, colour: Colour, spread: float = 12) -> Colour:
        """A colour near this one."""
        return tuple(value + self.chance.uniform(-spread, spread) for value in colour)

    def later(self, z: float, draw: Callable, *arguments) -> None:
        """Draw a thing when its turn comes; its distance ``z`` is the first argument."""
        if z > NEAR:
            self.things.append((z, lambda: draw(z, *arguments)))

    def draw(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 (h, w, 3) and labels uint8 (h, w)."""
        self.sky()
        self.distance()
        self.ground()
        for side in (-1, 1):
            self.row_of_buildings(side)
            self.kerbside(side)
        self.traffic()
        self.people()
        for _, draw in sorted(self.things, key=lambda thing: -thing[0]):
            draw()
        between = self.chance.uniform
        exposure = between(0.97, 1.14) * (1.0 + 0.1 * self.sunny)
        gain = [exposure * between(0.97, 1.03) for _ in range(3)]
        return self.canvas.finish(generator, np.array(gain, np.float32), between(2, 5))

    # -- background -------------------------------------------------------------------------------

    def sky(self) -> None:
        """From the zenith down to the skyline, with clouds or without."""
        canvas, horizon = self.canvas, self.canvas.camera.horizon
        clouds = self.pick((2, 6, 12, 20)) if self.sunny else self.pick((2, 4, 8))
        bands = 14
        rows = [(horizon + 2) * band / bands for band in range(bands + 1)]
        for band in range(bands):
            colour = mix(self.zenith, self.skyline, ((band + 0.5) / bands) ** 1.3)
            canvas.polygon([(0, rows[band]), (2 * canvas.w, rows[band]),
                            (2 * canvas.w, rows[band + 1]), (0, rows[band + 1])],
                           canvas.surface(SKY, colour, 0, 1, clouds / 8, clouds))

    def distance(self) -> None:
        """Houses and trees where the street ends."""
        canvas, between = self.canvas, self.chance.uniform
        for z in (FAR + 60, FAR + 10):
            x, end = -110 * z / FAR, 110 * z / FAR
            while x < end:
                wide, high = between(10, 30), between(5, 10 + 14 * self.urban)
                if self.happens(0.3 + 0.5 * self.green):
                    leaves = canvas.surface(TREE, self.pick(GREENS), z, 4, 8)
                    column, foot = canvas.camera.project(x + wide / 2, 0, z)
                    scale = self.unit / z
                    canvas.ellipse(column, foot - high * scale / 2.4, wide * scale / 1.6,
                                   high * scale / 2, leaves)
                else:
                    canvas.front(x, x + wide, 0, high, z,
                                 canvas.surface(BUILDING, self.pick(WALLS), z, 2, 6))
                x += wide * between(0.5, 1)

    def ground(self) -> None:
        """Pavement everywhere, the road on it, kerbs between them."""
        between, canvas, half = self.chance.uniform, self.canvas, self.half
        light = 0.85 + 0.25 * self.sunny
        asphalt = shade(self.tint(self.pick(((96, 96, 101), (86, 88, 95), (106, 105, 108))), 5),
                        light)
        slabs = shade(self.tint(self.pick(((184, 172, 156), (176, 160, 142), (172, 166, 158))), 6),
                      light)
        for near, far in zip(STRIPS[-2::-1], STRIPS[:0:-1]):
            z = (near + far) / 2
            canvas.floor(-300, 300, near, far,
                         canvas.surface(PAVEMENT, slabs, z, 3, 5, 4, ground=True))
            canvas.floor(-half, half, near, far,
                         canvas.surface(ROAD, asphalt, z, 4, 3, 5, ground=True))
            if far < 40:
                for side in (-1, 1):
                    kerb = shade(slabs, 1.15 if side != self.sun else 0.78)
                    canvas.wall(side * half, 0, .13, near, far,
                                canvas.surface(PAVEMENT, kerb, z, 2, ground=True))
        self.joints(shade(slabs, 0.84))
        self.markings(mix(asphalt, (240, 238, 230), between(0.55, 0.95)))

    def joints(self, colour: Colour) -> None:
        """Lines between the slabs of the pavements."""
        surface = self.canvas.surface(PAVEMENT, colour, grain=2, ground=True)
        for left, right in ((-self.front, -self.half), (self.half, self.front)):
            z = 2.2
            while z < 12:
                self.canvas.floor(left, right, z, z + 0.06, surface)
                z *= 1.18

    def markings(self, white: Colour) -> None:
        """Dashes in the middle, lines at the edges, a zebra crossing."""
        canvas, between, half = self.canvas, self.chance.uniform, self.half
        dash, gap = self.pick(((2, 4), (3, 3), (1, 2), (4, 8), (60, 0)))
        edges = (-half + 0.3, half - 0.3) if self.happens(0.5) else ()
        start = NEAR - between(0, dash)
        for near, far in itertools.pairwise(STRIPS[:-1]):
            paint = canvas.surface(ROAD, white, (near + far) / 2, 5, ground=True)
            z = start + (near - start) // (dash + gap) * (dash + gap)
            while z < far:
                first, last = max(z, near), min(z + dash, far)
                if first < last:
                    canvas.floor(-.07, .07, first, last, paint)
                z += dash + gap
            for edge in edges:
                canvas.floor(edge - .06, edge + .06, near, far, paint)
        self.zebra = between(7, 20) if self.happens(0.3) else None
        if self.zebra:
            paint = canvas.surface(ROAD, white, self.zebra, 5, ground=True)
            for stripe in range(int(2 * half - 0.5)):
                left = stripe - half + 0.4
                canvas.floor(left, left + 0.5, self.zebra, self.zebra + 3, paint)

    # -- buildings --------------------------------------------------------------------------------

    def row_of_buildings(self, side: int) -> None:
        """Houses along one side, with gaps for gardens."""
        between = self.chance.uniform
        z = between(-6, 3)
        closed = between(0.3, 1.0) * (0.5 + 0.5 * self.urban)
        setback = between(0, 5) * (self.urban < 0.5)
        while z < FAR:
            length = between(7, 18)
            if self.happens(0.35 + 0.65 * closed):
                floors = int(between(2, 3.6 + 4 * self.urban))
                self.later(z + length, self.building, z, side, side * (self.front + setback
                           + between(0, 0.6)), floors)
                if setback > 1.5 and z > 1:
                    self.later(z + length - 0.1, self.fence, z, side * self.front)
            else:
                length = between(4, 14)
                if self.happens(0.7):
                    self.later(z + length, self.fence, z, side * (self.front + 0.2))
                for _ in range(int(between(0, 2 + 2 * self.green))):
                    self.later(z + between(0, length), self.tree,
                               side * (self.front + between(2, 9)), between(5, 10))
            z += length

    def building(self, far: float, near: float, side: int, x: float, floors: int) -> None:
        """The end that looks at the camera, a roof, the front along the street, its shadow."""
        canvas, between = self.canvas, self.chance.uniform
        near = max(near, NEAR)
        storey = between(2.8, 3.5)
        top = floors * storey + between(0.3, 1)
        colour = self.tint(self.pick(WALLS))
        lit = 0.84 + (0.3 if side != self.sun else -0.1) * self.sunny
        middle = (near + far) / 2
        grain, mottle = between(1.5, 4), between(3, 8)
        deep = x + side * between(8, 12)
        end = canvas.surface(BUILDING, shade(colour, 0.85), near, grain, mottle)
        if near > NEAR:
            canvas.front(x, deep, 0, top, near, end)
        if floors < 4 and self.happens(0.75):
            ridge, up = (x + deep) / 2, top + between(1.5, 3.5)
            roof = canvas.surface(BUILDING, shade(self.tint(self.pick(ROOFS)), lit), middle, 3, 5)
            if near > NEAR:
                canvas.face([(x, top, near), (ridge, up, near), (deep, top, near)], end)
            canvas.face([(x, top, near), (ridge, up, near), (ridge, up, far), (x, top, far)], roof)
        canvas.wall(x, 0, top, near, far,
                    canvas.surface(BUILDING, shade(colour, lit), middle, grain, mottle, 4))
        if self.sunny and side == self.sun:
            reach = x - side * min(top * between(0.5, 1.1), 14)
            canvas.shadow([(x, near), (x, far), (reach, far), (reach, near)], 0.42 * self.sunny)
        self.windows(near, far, x, floors, storey, lit, colour)

    def windows(self, near, far, x, floors, storey, lit, colour) -> None:
        """Rows of windows, a door or shops below; far away, a dark stripe for each floor."""
        canvas, between = self.canvas, self.chance.uniform
        middle = (near + far) / 2

        def surface(colour):
            return canvas.surface(BUILDING, shade(colour, lit), middle, 2, 4)

        glass = [surface(self.tint(mix(GLASS, self.zenith, share))) for share in (0, 0.15, 0.45)]
        sill, high, share = between(0.7, 1.1), between(1.3, 1.8), between(0.35, 0.6)
        if near > 34:
            stripe = surface(mix(colour, GLASS, 0.4))
            for floor in range(floors):
                low = floor * storey + sill
                canvas.wall(x, low, low + high, near, far, stripe)
            return
        columns = max(1, int((far - near) / between(2.2, 3.6)))
        step = (far - near) / columns
        frame = surface(self.pick(((226, 222, 212), shade(colour, 1.25), shade(colour, 0.7))))
        shops = self.happens(0.1 + 0.45 * self.urban)
        if shops:
            canvas.wall(x, 2.6, 3.3, near, far, surface(self.tint(self.pick(PAINTS))))
        for floor in range(floors):
            low, wide = floor * storey + sill, share
            up = low + high
            if shops and floor == 0:
                low, up, wide = 0.4, 2.5, 0.85
            for column in range(columns):
                start = near + (column + 0.5 - wide / 2) * step
                stop = start + wide * step
                if floor == 0 and not shops and column % 3 == 1:
                    canvas.wall(x, 0, 2.1, start, stop, frame)
                    continue
                if start < 18:
                    canvas.wall(x, low - .12, up + .12, start - .1, stop + .1, frame)
                canvas.wall(x, low, up, start, stop, self.pick(glass))

    # -- along the kerb ---------------------------------------------------------------------------

    def kerbside(self, side: int) -> None:
        """Trees, lamps, signs, traffic lights, railings and parked cars."""
        between = self.chance.uniform
        edge = side * (self.half + 0.5)
        if self.happens(0.25 + 0.6 * self.green):
            spacing, high = between(7, 22), between(5, 9)
            z = between(5, 5 + spacing)
            while z < 75:
                self.later(z, self.tree, edge + side * between(0, 0.4), high * between(0.8, 1.2))
                z += spacing * between(0.7, 1.3)
        spacing, high = between(14, 28), between(5.5, 9)
        z = between(7, 7 + spacing)
        while z < 50:
            self.later(z, self.lamp, edge, side, high)
            z += spacing
        for _ in range(int(between(0.5, 4.2))):
            self.later(between(7, 24), self.sign, edge + side * between(-0.1, 0.5))
        if self.happens(0.3):
            self.later(between(8, 25), self.traffic_light, edge)
        if self.happens(0.22):
            near = between(4, 14)
            self.later(near + between(5, 14), self.fence, near, side * (self.half + 0.25))
        if self.happens(0.65):
            z = between(5, 14)
            while z < 42:
                if self.happens(0.7):
                    self.later(z, self.car, side * (self.half - between(0.9, 1.1)),
                               self.pick(("hatchback", "saloon", "hatchback", "saloon", "van")),
                               self.happens(0.8) == (side > 0))
                z += between(5.2, 8)

    def tree(self, z: float, x: float, high: float) -> None:
        """A trunk, and leaves from dark ones behind to light ones on the side of the sun."""
        canvas, between = self.canvas, self.chance.uniform
        column, foot = canvas.camera.project(x, 0, z)
        scale = self.unit / z
        green = self.tint(self.pick(GREENS), 8)
        radius = high * between(0.24, 0.36)
        canvas.post(column, foot - high * 0.5 * scale, foot, between(0.22, 0.4) * scale,
                    canvas.surface(TREE, self.tint((84, 70, 58), 10), z, 3))
        size, centre = radius * scale, foot - (high - radius) * scale
        lights = (0.6, 0.85, 1.05, 1.1 + 0.35 * self.sunny)
        blobs, step = (1, 2) if size < 8 else (3, 1) if size < 20 else (6, 1)
        for level in range(0, 4, step):
            leaves = canvas.surface(TREE, shade(green, lights[level]), z, 9, 12)
            if level == 0:
                canvas.ellipse(column, centre, size * 0.85, size * 0.9, leaves)
            for _ in range(blobs):
                angle, away = between(0, 6.28), between(0.3, 0.95 - 0.16 * level)
                small = 1 - 0.13 * level
                canvas.ellipse(column + (math.cos(angle) * away + 0.12 * level * self.sun) * size,
                               centre + (math.sin(angle) * away * 1.1 - 0.14 * level) * size,
                               size * between(0.22, 0.5) * small,
                               size * between(0.2, 0.45) * small, leaves)
        shift = -self.sun * high * 0.6 * self.sunny
        self.pool(x + shift, z, radius, 0.3 + 0.2 * self.sunny)

    def pool(self, x: float, z: float, radius: float, strength: float) -> None:
        """A round shadow on the ground."""
        if z > radius + NEAR:
            self.canvas.shadow([(x + radius * math.cos(turn), z + radius * math.sin(turn))
                                for turn in (0, .8, 1.6, 2.4, 3.1, 3.9, 4.7, 5.5)], strength)

    def pole(self, z: float, x: float, high: float, thick: float, colour: Colour = STEEL):
        """An upright; returns column, foot and scale for what is fixed to it."""
        column, foot = self.canvas.camera.project(x, 0, z)
        scale = self.unit / z
        self.canvas.post(column, foot - high * scale, foot, thick * scale,
                         self.canvas.surface(POLE, self.tint(colour, 10), z, 3))
        if self.sunny:
            away = x - self.sun * high * 0.7
            self.canvas.shadow([(x, z), (x, z + 0.15), (away, z + 0.15), (away, z)],
                               0.45 * self.sunny)
        return column, foot, scale

    def lamp(self, z: float, x: float, side: int, high: float) -> None:
        """A street lamp, its arm over the road."""
        colour = self.pick((STEEL, (74, 78, 80), (62, 74, 66)))
        column, foot, scale = self.pole(z, x, high, 0.23, colour)
        surface = self.canvas.surface(POLE, shade(colour, 0.9), z, 2)
        top, reach, thick = foot - high * scale, -side * 1.5 * scale, max(3, 0.16 * scale)
        self.canvas.polygon([(column, top), (column + reach, top - 0.35 * scale),
                             (column + reach, top - 0.35 * scale + thick), (column, top + thick)],
                            surface)
        self.canvas.ellipse(column + reach, top - 0.3 * scale, 0.4 * scale,
                            max(1.5, 0.17 * scale), surface)

    def sign(self, z: float, x: float) -> None:
        """A traffic sign on its post."""
        canvas, between = self.canvas, self.chance.uniform
        high = between(2.3, 3.2)
        column, foot, scale = self.pole(z, x, high, 0.16)
        size = max(between(0.42, 0.62) * scale, 3)
        middle = foot - high * scale
        red, white, blue = (188, 30, 36), (232, 230, 224), (30, 80, 170)
        outer, inner = self.pick(((red, white), (red, red), (blue, blue), (white, red),
                                  (blue, white), ((36, 110, 70), (36, 110, 70))))
        outer, inner = (canvas.surface(SIGN, self.tint(colour, 8), z, 1.5)
                        for colour in (outer, inner))
        shape = self.pick(("round", "round", "triangle", "board"))
        if shape == "round":
            canvas.ellipse(column, middle, size, size, outer)
            canvas.ellipse(column, middle, size * 0.68, size * 0.68, inner)
        elif shape == "triangle":
            for surface, part in ((outer, 1.2), (inner, 0.65)):
                canvas.polygon([(column, middle - size * part),
                                (column + size * part, middle + size * part * 0.75),
                                (column - size * part, middle + size * part * 0.75)], surface)
        else:
            wide = size * between(1, 2.2)
            canvas.polygon([(column - wide, middle - size), (column + wide, middle - size),
                            (column + wide, middle + size), (column - wide, middle + size)], outer)
            canvas.polygon([(column - wide * .7, middle - size * .3),
                            (column + wide * .7, middle - size * .3),
                            (column + wide * .7, middle + size * .3),
                            (column - wide * .7, middle + size * .3)], inner)

    def traffic_light(self, z: float, x: float) -> None:
        """A dark box with one lamp lit, on a post; CamVid counts it among the signs."""
        canvas = self.canvas
        column, foot, scale = self.pole(z, x, 3.4, 0.18, (70, 72, 74))
        top, half = foot - 3.6 * scale, max(0.27 * scale, 2)
        box = canvas.surface(SIGN, (34, 34, 36), z, 1.5)
        canvas.polygon([(column - half, top), (column + half, top),
                        (column + half, top + 1.15 * scale), (column - half, top + 1.15 * scale)],
                       box)
        lamp, colour = self.pick(((0, (240, 50, 40)), (1, (250, 170, 40)), (2, (60, 220, 130))))
        canvas.ellipse(column, top + (0.25 + 0.33 * lamp) * scale, half * 0.6, half * 0.6,
                       canvas.surface(SIGN, colour, z))

    def fence(self, far: float, near: float, x: float) -> None:
        """Boards, or bars between posts, along the street."""
        canvas, between = self.canvas, self.chance.uniform
        near = max(near, NEAR)
        if far < near + 1:
            return
        high, wooden = between(0.9, 1.7), self.happens(0.5)
        colour = self.tint(self.pick(((140, 106, 72), (228, 228, 222), (52, 96, 78)) if wooden else
                                     ((44, 56, 58), (36, 40, 42), (40, 74, 60))))
        middle = (near + far) / 2
        behind = canvas.surface(FENCE, colour if wooden else mix(colour, (150, 146, 138), 0.55),
                                middle, 3, 5)
        bars = canvas.surface(FENCE, shade(colour, 0.72 if wooden else 0.9), middle, 2)
        canvas.wall(x, 0, high, near, far, behind)
        z, step = near, max(between(0.3, 0.6), near / 16)
        while z < min(far, 24):
            canvas.wall(x, 0, high, z, z + 0.16 * step, bars)
            z += step
            step *= 1.12
        canvas.wall(x, high * .1, high * .1 + .1, near, far, bars)
        canvas.wall(x, high - .1, high, near, far, bars)

    # -- traffic ----------------------------------------------------------------------------------

    def traffic(self) -> None:
        """Moving cars in their lanes."""
        between = self.chance.uniform
        side = 1 if self.canvas.camera.x > 0 else -1
        for lane in (-side, side):
            z = between(9, 30)
            while z < 60:
                if self.happens(0.5):
                    self.later(z, self.car, lane * self.half * between(0.38, 0.5),
                               self.pick(("hatchback", "saloon", "saloon", "hatchback", "van",
                                          "bus")), lane == side)
                z += between(9, 25)

    def car(self, z: float, x: float, kind: str, away: bool) -> None:
        """A car whose near end is at z; ``away``: seen from behind."""
        canvas = self.canvas
        outline, glass, wide = CARS[kind]
        paint = self.tint(self.pick(PAINTS), 10)
        length = outline[-1][0]
        if not away:
            outline = [(length - back, up) for back, up in outline[::-1]]
            glass = [(length - back, up) for back, up in glass]
        left, right = x - wide / 2, x + wide / 2
        shift = -0.9 * self.sunny * self.sun
        start, stop = left - 0.15 + min(shift, 0), right + 0.15 + max(shift, 0)
        canvas.shadow([(start, z - .1), (start, z + length), (stop, z + length), (stop, z - .1)],
                      0.6)

        def surface(colour):
            return canvas.surface(CAR, colour, z, 1.5, 3)

        dark, window = surface((24, 24, 26)), surface(mix(GLASS, self.skyline, 0.2))
        roof, back = surface(shade(paint, 1.1)), surface(shade(paint, 0.85))
        canvas.front(left, right, 0.22, 0.5, z + length, dark)
        for (one, low), (other, up) in zip(outline[-2::-1], outline[:0:-1]):    # from far to near
            windscreen = abs(up - low) > 0.3 and one < length / 2 + 1
            canvas.face([(left, low, z + one), (right, low, z + one), (right, up, z + other),
                         (left, up, z + other)],
                        back if one == 0 else window if windscreen else roof)
        seen = left if canvas.camera.x < left else right if canvas.camera.x > right else None
        if seen is not None:
            bright = (seen == right) == (self.sun > 0)
            side = surface(shade(paint, 0.95 + (0.2 if bright else -0.12) * self.sunny))
            canvas.face([(seen, .22, z), *((seen, up, z + along) for along, up in outline),
                         (seen, .22, z + length)], side)
            if z < 50:
                canvas.face([(seen, up, z + along) for along, up in glass], window)
                for hub in (z + 0.19 * length, z + 0.8 * length):
                    canvas.face([(seen, .33 + .33 * up, hub + .33 * along)
                                 for along, up in OCTAGON], dark)
        self.near_end(z, (left, right), outline, away, surface, (back, dark, window))

    def near_end(self, z, sides, outline, away, surface, colours) -> None:
        """The end of a car that looks at the camera: wheels, glass, lights, number plate."""
        (left, right), (back, dark, window) = sides, colours
        front, middle = self.canvas.front, (left + right) / 2
        top, high = max(up for _, up in outline), min(outline[1][1], 1.3)
        for edge in (left, right - 0.22):
            front(edge, edge + 0.22, 0, 0.4, z + 0.1, dark)
        if outline[1][1] > 1:       # a van or a bus ends upright
            front(left, right, high, top, z, back)
            front(left + .12, right - .12, high + 0.08, top - 0.25, z, window)
        front(left, right, 0.28, high, z, back)
        lamp = surface((200, 24, 24) if away else (248, 244, 226))
        for edge in (left + 0.06, right - 0.34):
            front(edge, edge + 0.28, high - 0.3, high - 0.13, z, lamp)
        front(middle - .26, middle + .26, 0.45, 0.57, z, surface((222, 208, 120)))
        front(left + .05, right - .05, 0.26, 0.36, z, dark)

    # -- people -----------------------------------------------------------------------------------

    def people(self) -> None:
        """On the pavements, on the zebra crossing, and on bicycles."""
        between = self.chance.uniform
        for side in (-1, 1):
            for _ in range(int(between(0.5, 4 + 4 * self.urban))):
                z = 5 + 19 * self.chance.random() ** 1.4
                x = side * between(self.half + 0.8, self.front - 0.3)
                for companion in range(1 + self.happens(0.3)):
                    self.later(z + 0.1 * companion, self.pedestrian, x + 0.65 * companion)
        if self.zebra:
            for _ in range(int(between(1, 4))):
                self.later(self.zebra + between(0, 2.5), self.pedestrian,
                           between(-self.half, self.half))
        for _ in range(int(between(0, 3.6))):
            side = self.pick((-1, 1))
            self.later(between(5.5, 18), self.bicyclist, side * (self.half - between(0.6, 2.2)),
                       self.pick((0.3, 0.45, 0.6)))
        if self.happens(0.3):
            self.later(between(7, 18), self.bicyclist, between(-self.half, self.half), 1.0)

    def body(self, z: float, x: float, label: int):
        """Ways to draw limbs and discs, in metres from the feet, and to make their surfaces."""
        column, foot = self.canvas.camera.project(x, 0, z)
        scale = self.unit / z

        def limb(x0, y0, x1, y1, wide, surface, narrow=1.0):
            """A bar from (x0, y0) to (x1, y1), at least a pixel wide."""
            half = max(wide * scale / 2, 1.0)
            length = math.hypot(x1 - x0, y1 - y0) or 1
            across, down = (y1 - y0) / length * half, (x1 - x0) / length * half
            a, b = column + x0 * scale, foot - y0 * scale
            c, d = column + x1 * scale, foot - y1 * scale
            self.canvas.polygon([(a - across, b - down), (a + across, b + down),
                                 (c + across * narrow, d + down * narrow),
                                 (c - across * narrow, d - down * narrow)], surface)

        def disc(x0, y0, radius, surface, turn=1.0):
            """Round, or narrower when it is turned."""
            self.canvas.ellipse(column + x0 * scale, foot - y0 * scale,
                                max(turn * radius * scale, 1), max(radius * scale, 1), surface)

        def surface(colour):
            return self.canvas.surface(label, colour, z, 2, 5)

        self.pool(x - self.sun * 0.5 * self.sunny, z, 0.45, 0.5)
        return limb, disc, surface

    def pedestrian(self, z: float, x: float) -> None:
        """Somebody who walks, large or small, sometimes with a bag."""
        between = self.chance.uniform
        limb, disc, surface = self.body(z, x, PEDESTRIAN)
        size = between(0.88, 1.08) * (0.7 if self.happens(0.1) else 1)
        coat, trousers = self.tint(self.pick(CLOTHES)), self.tint(self.pick(CLOTHES[:6]), 8)
        skin, hair = self.pick(SKINS), self.pick(((40, 30, 24), (90, 66, 40), (150, 140, 130)))
        top, legs = surface(coat), surface(trousers)
        stride, arms = between(0.03, 0.24) * size, between(0.05, 0.2) * self.pick((-1, 1)) * size
        hip, neck = 0.86 * size, 1.46 * size
        for step in (-stride, stride):
            limb(step * 0.35, hip, step, 0, 0.17 * size, legs, 0.7)
        limb(-0.19 * size, neck - 0.06, -0.22 * size + arms, hip - 0.02, 0.12 * size, top)
        limb(0.19 * size, neck - 0.06, 0.22 * size - arms, hip - 0.02, 0.12 * size, top)
        limb(0, hip - 0.06, 0, neck, 0.36 * size, top, 1.1)
        disc(0, 1.62 * size, 0.125 * size, surface(hair))
        disc(0.02 * size, 1.58 * size, 0.1 * size, surface(skin))
        if self.happens(0.25):      # a bag
            limb(0.25 * size, 0.85 * size, 0.25 * size, 0.55 * size, 0.24 * size,
                 surface(self.pick(CLOTHES)))

    def bicyclist(self, z: float, x: float, turn: float) -> None:
        """Somebody on a bicycle; ``turn``: how much of its length shows, 1 from the side."""
        limb, disc, surface = self.body(z, x, BICYCLIST)
        way = self.pick((-1, 1)) * turn
        tyre, coat = surface((34, 34, 36)), surface(self.tint(self.pick(VESTS)))
        frame, legs = surface(self.tint(self.pick(PAINTS))), surface(self.pick(CLOTHES[:6]))
        spokes = surface((104, 104, 106))
        for hub in (-0.52 * way, 0.52 * way):
            disc(hub, 0.34, 0.36, tyre, turn)
            disc(hub, 0.34, 0.27, spokes, turn - 0.15)
        for x0, y0, x1, y1 in ((-.52, .34, -.15, .85), (-.52, .34, 0, .32), (0, .32, -.15, .85),
                               (0, .32, .4, .8), (-.15, .8, .4, .85), (.52, .34, .4, 1.0)):
            limb(x0 * way, y0, x1 * way, y1, 0.06, frame)
        limb(0.4 * way - 0.22 * (1 - turn), 1.02, 0.4 * way + 0.22 * (1 - turn), 1.02, 0.07, tyre)
        limb(-0.15 * way, 0.95, 0.14 * way, 0.6, 0.18, legs)
        limb(0.14 * way, 0.6, 0.03 * way, 0.22, 0.14, legs)
        limb(-0.15 * way, 0.9, 0.14 * way, 1.44, 0.36, coat, 1.1)
        limb(0.12 * way, 1.38, 0.42 * way, 1.04, 0.12, coat)
        disc(0.22 * way, 1.64, 0.15, surface(self.pick(PAINTS)))
        disc(0.26 * way, 1.57, 0.11, surface(self.pick(SKINS)))
