"""Train a small classifier and write it to model.pkl.

The data set (150 irises, four measurements each, three species) ships with scikit-learn,
so training needs no download.
"""

import pickle
from pathlib import Path

from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

MODEL = Path(__file__).with_name("model.pkl")


def main() -> None:
    iris = load_iris()
    features, held_out, labels, expected = train_test_split(
        iris.data, iris.target, test_size=0.2, random_state=7, stratify=iris.target
    )
    model = RandomForestClassifier(n_estimators=100, random_state=7)
    model.fit(features, labels)

    bundle = {"model": model, "species": [str(name) for name in iris.target_names]}
    MODEL.write_bytes(pickle.dumps(bundle))
    print(f"accuracy on held-out flowers: {model.score(held_out, expected):.3f}")
    print(f"wrote {MODEL.name} ({MODEL.stat().st_size} bytes)")


if __name__ == "__main__":
    main()
