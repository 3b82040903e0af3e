"""Random histories of the made-up world: every kind of model, client and mishap at once."""

import random
from dataclasses import dataclass

from localai.fleet.state import Closing, Key, Limits, MemoryChanged
from simulation import GIB, Kind, World


@dataclass
class Histories:
    """Random histories: every kind of model, client and mishap at once."""

    seed: int
    events: int = 0
    longest: float = 0.0
    background: float = 0.0
    """Share of the requests that come in the background."""

    def run(self, events: int) -> None:
        """Play about this many events, then let the world come to rest and check that nobody was forgotten."""
        world = self._world()
        chance = world.random
        self.background = chance.choice((0.0, 0.2, 0.8, 1.0))
        while world.events < events:
            self._step(world, chance)
            world.play(world.now + chance.expovariate(chance.choice((0.5, 5, 50))))
        self._finish(world)
        self.events += world.events
        self.longest = max(self.longest, *world.waits, 0.0)

    def _world(self) -> World:
        chance = random.Random(self.seed)
        budget = 8 * GIB
        kinds: list[Kind] = []
        for number in range(chance.randint(2, 7)):
            name = f"m{number}"
            for version in range(chance.choice((1, 1, 1, 2))):
                kinds.append(
                    Kind(
                        key=Key(f"{name}@{version}"),
                        name=name,
                        need=int(budget * chance.choice((0.05, 0.2, 0.4, 0.6, 0.95, 1.2))),
                        slots=chance.randint(1, 4),
                        keep_alive=chance.choice((-1.0, 0.0, 1.0, 20.0, 20.0)),
                        truth=chance.choice((0.5, 1.0, 1.0, 1.3)),
                        start_failure=chance.choice((0.0, 0.0, 0.0, 0.3, 1.0)),
                        crash=chance.choice((0.0, 0.0, 0.05, 0.5)),
                        final=chance.random() < 0.2,
                    )
                )
        limits = Limits(queue=chance.choice((0, 3, 256)), queue_timeout=600.0, patience=chance.choice((0.0, 5.0, 15.0)))
        return World(self.seed, kinds, budget, limits)

    def _step(self, world: World, chance: random.Random) -> None:
        dice = chance.random()
        key = chance.choice(list(world.kinds))
        if dice < 0.80:
            for _ in range(chance.choice((1, 1, 1, 2, 10))):
                world.ask(key, light=chance.random() < 0.2, background=chance.random() < self.background)
        elif dice < 0.90 and world.waiting:
            world.cancel(chance.choice(list(world.waiting)))
        elif dice < 0.94:
            world.unload(world.kinds[key].name)
        elif dice < 0.96:
            world.tell(MemoryChanged(budget=int(8 * GIB * chance.choice((0.3, 0.8, 1.0, 1.0)))))
        elif dice < 0.98 and world.alive:
            world.die(chance.choice(list(world.alive.values())))
        elif world.alive:
            process = chance.choice(list(world.alive.values()))
            world.grow(process, int(process.kind.need * chance.uniform(0.5, 1.5)))

    def _finish(self, world: World) -> None:
        world.tell(MemoryChanged(budget=8 * GIB))
        world.play(world.now + 2000.0)
        assert not world.waiting, f"never answered: {sorted(world.waiting)}"
        assert world.unloads == world.confirmed, "an unload was never answered"
        kept = [process for process in world.alive.values() if process.kind.keep_alive >= 0]
        assert not kept, f"still loaded though idle: {[process.kind.key for process in kept]}"
        world.tell(Closing())
        world.play(world.now + 10.0)
        assert not world.alive, "the server closed and left processes behind"
