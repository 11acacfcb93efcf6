"""How animals look: a body from the back to the front, and what is behind it."""

from featurekit.scenes.canvas import Canvas, Ink, Paint, Pattern
from featurekit.scenes.colours import COLOURS, Colour, darker, lighter
from featurekit.scenes.geometry import arc, curve, ellipse, rectangle
from featurekit.scenes.kinds.animals.animal import BALL, Animal, back, fore_foot, placed, shoulder
from featurekit.scenes.kinds.animals.heads import draw_head
from featurekit.scenes.kinds.animals.parts import (
    HORN,
    PALE,
    body_fur,
    draw_far_leg,
    draw_leg,
    draw_neck,
    draw_tail,
    fur,
    join_neck,
    light_back,
    ribbon,
    world,
)


def backdrop(canvas: Canvas, animal: Animal) -> None:
    """Draw the wall with light falling on it, and the floor with the animal's shadow."""
    wall, floor, texture = COLOURS[animal.wall], COLOURS[animal.floor], animal.wall_texture
    print_ = Pattern(texture, 0.2, 0.8) if texture else None
    canvas.background(lighter(wall, 0.45), lighter(wall, 0.15), pattern=print_)
    x, y = animal.lamp_x, animal.horizon
    beam = [(x - 0.13, -0.05), (x + 0.13, -0.05), (x + 0.02, y), (x - 0.24, y)]
    canvas.shade(beam, (255, 250, 225), soft=0.004, opacity=0.6)
    ground = Paint(lighter(floor, 0.1), lighter(floor, 0.4))
    if animal.floor_texture:
        ground = ground.printed(Pattern(animal.floor_texture, 0.2, 0.82))
    canvas.part(rectangle(-0.05, y, 1.05, 1.05), ground, Ink.NONE)
    canvas.shade(rectangle(-0.05, y, 1.05, y + 0.035), darker(floor, 0.5), soft=0.012, opacity=0.4)


def figure(canvas: Canvas, animal: Animal) -> None:
    """Draw the animal, and the ball if there is one."""
    shadow = ellipse((animal.x + 0.06, animal.ground), animal.length + 0.12, 0.045)
    canvas.shade(shadow, (25, 20, 35), soft=0.006, opacity=0.5)
    draw_tail(canvas, animal)
    if animal.species == "rabbit":
        _sitting(canvas, animal)
    elif animal.species == "bird":
        _feathered(canvas, animal)
    else:
        _standing(canvas, animal)
    draw_head(canvas, animal)
    if animal.ball is not None:
        _ball(canvas, animal, COLOURS[animal.ball])


def _standing(canvas: Canvas, animal: Animal) -> None:
    length, girth, top = animal.length, animal.girth, back(animal)
    hip, fore = 0.09 - length, shoulder(animal)
    for root, foot in ((hip + 0.05, 0.13 - length), (fore[0] - 0.03, length - 0.1)):
        draw_far_leg(canvas, animal, ((root, animal.leg + girth * 0.6), (foot, 0.045)))
    draw_neck(canvas, animal)
    thin = girth * 0.88
    chest = arc((length - girth, animal.leg + girth), girth, girth, start_deg=-90, end_deg=90)
    rear = arc((thin - length, top - thin), thin, thin, start_deg=90, end_deg=270)
    torso = world(animal, chest + rear)
    canvas.part(torso, body_fur(animal))
    light_back(canvas, animal)
    join_neck(canvas, animal)
    haunch = (hip, animal.leg + girth * 0.75)
    draw_leg(canvas, animal, (haunch, (0.06 - length, 0.025)), thigh=0.06)
    draw_leg(canvas, animal, (fore, fore_foot(animal)))


def _sitting(canvas: Canvas, animal: Animal) -> None:
    length, top = animal.length, back(animal)
    draw_neck(canvas, animal)
    torso = ellipse(placed(animal, -0.01, top / 2 + 0.01), length * 0.97, top / 2)
    canvas.part(torso, body_fur(animal))
    light_back(canvas, animal)
    join_neck(canvas, animal)
    plain = fur(animal, 0.92)
    haunch = placed(animal, -length * 0.35, min(0.14, top * 0.4))
    canvas.part(ellipse(haunch, length * 0.58, min(0.125, top * 0.36)), body_fur(animal))
    white = Paint(PALE, darker(PALE, 0.8)) if animal.socks else plain
    canvas.part(ellipse(placed(animal, 0.05 - length * 0.5, 0.03), 0.11, 0.03), white)
    fore = [(length * 0.6, top * 0.45), (length * 0.7, top * 0.2), (length * 0.72, 0.03)]
    canvas.part(world(animal, ribbon(fore, (0.03, 0.042, 0.034))), plain)
    canvas.part(ellipse(placed(animal, length * 0.76, 0.03), 0.05, 0.028), white)


def _feathered(canvas: Canvas, animal: Animal) -> None:
    length, girth, leg = animal.length, animal.girth, animal.leg
    for x, colour in ((-0.05, darker(HORN, 0.7)), (0.35, HORN)):
        foot, hip = x * length, x * length * 0.7
        bones = world(animal, [(hip, leg + 0.05), (foot, 0.015), (foot + 0.06, 0.012)])
        canvas.stroke(bones, colour, width=0.026, ink=Ink.CONTOUR)
    draw_neck(canvas, animal)
    middle = placed(animal, 0.0, leg + girth)
    canvas.part(ellipse(middle, length, girth * 1.12), body_fur(animal))
    light_back(canvas, animal)
    join_neck(canvas, animal)
    belly = ellipse(placed(animal, length * 0.3, leg + girth * 0.5), length * 0.55, girth * 0.5)
    canvas.shade(belly, PALE, soft=0.008, opacity=0.7)
    root, tip = (length * 0.45, leg + girth * 1.3), (-length * 0.95, leg + girth * 0.9)
    upper = curve(root, (-length * 0.2, leg + girth * 2.0), tip)
    lower = curve(tip, (length * 0.3, leg - girth * 0.1), root)
    wing = fur(animal, 0.62)
    canvas.part(world(animal, upper + lower[1:-1]), wing, Ink.TONE)


def _ball(canvas: Canvas, animal: Animal, colour: Colour) -> None:
    x, y = animal.ball_x, animal.ball_y
    canvas.shade(ellipse((x + 0.03, y + BALL * 0.9), BALL, 0.025), (25, 20, 35), opacity=0.45)
    light = (x - BALL * 0.35, y - BALL * 0.4)
    paint = Paint(lighter(colour, 0.3), darker(colour, 0.75), light)
    canvas.part(ellipse((x, y), BALL, BALL), paint)
    canvas.part(ellipse((x, y), BALL * 0.4, BALL * 0.4), Paint(PALE), Ink.DETAIL)
