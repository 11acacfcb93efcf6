"""What is said of an animal."""

from random import Random

from featurekit.scenes.kinds.animals.animal import PAWED, Animal
from featurekit.scenes.wording import article, on_background


def caption(animal: Animal, rng: Random) -> str:
    """Say what is seen; all but species and colours is left to chance."""
    marking = f"{animal.print_name} " if animal.print_name else ""
    text = article(f"{marking}{animal.coat} {animal.species}")
    details = [detail for detail in _details(animal) if rng.random() < 0.6][:3]
    if details:
        text += " with " + " and ".join(details)
    if rng.random() < 0.35:
        text += f" on {animal.floor} ground"
    if rng.random() < 0.65:
        text += " " + on_background(animal.wall, animal.wall_texture)
    return text


def _details(animal: Animal) -> list[str]:
    details = []
    if animal.collar is not None:
        details.append(article(f"{animal.collar} collar"))
    if animal.ball is not None:
        details.append(article(f"{animal.ball} ball"))
    if animal.species == "rabbit" and animal.ear_length > 0.24:
        details.append("long ears")
    if animal.species in PAWED and animal.tail_length > 0.24:
        details.append("a long tail")
    if animal.paw_deg > 25:
        details.append("a raised paw")
    if animal.socks and animal.species in PAWED and animal.coat != "white":
        details.append("white paws")
    return details
