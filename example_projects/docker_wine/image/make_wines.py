"""Print 200 made-up wines of two kinds, the same ones each time."""

import random

random.seed(20)
print("alcohol,acidity,colour,kind")
for kind, (alcohol, acidity, colour) in enumerate([(13.5, 2.0, 5.5), (12.4, 2.6, 3.8)]):
    for _ in range(100):
        values = (random.gauss(alcohol, 0.5), random.gauss(acidity, 0.6), random.gauss(colour, 1.0))
        print(",".join(f"{value:.2f}" for value in values), kind, sep=",")
