"""Load model.pkl and predict: once, for the four measurements given, or as an HTTP server.

    python run_model.py                        # one flower, one prediction
    python run_model.py 6.7 3.0 5.2 2.3        # a flower of your own
    python run_model.py --serve                # POST {"features": [6.7, 3.0, 5.2, 2.3]} to :8080
"""

import argparse
import json
import pickle
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODEL = Path(__file__).with_name("model.pkl")
FLOWER = [5.9, 3.0, 5.1, 1.8]


def load() -> dict:
    # A pickle runs code when it is read: load only models whose origin you trust.
    return pickle.loads(MODEL.read_bytes())


def predict(bundle: dict, features: list[float]) -> dict:
    probabilities = bundle["model"].predict_proba([features])[0]
    best = int(probabilities.argmax())
    return {
        "features": features,
        "species": bundle["species"][best],
        "probability": round(float(probabilities[best]), 4),
    }


class Handler(BaseHTTPRequestHandler):
    bundle: dict

    def do_GET(self) -> None:
        self.answer(200, {"status": "ready"} if self.path == "/healthz" else predict(self.bundle, FLOWER))

    def do_POST(self) -> None:
        try:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            features = [float(value) for value in body["features"]]
            self.answer(200, predict(self.bundle, features))
        except (KeyError, TypeError, ValueError) as error:
            self.answer(400, {"error": f"expected four numbers in \"features\": {error}"})

    def answer(self, status: int, document: dict) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", nargs="*", type=float, help="sepal length and width, petal length and width, in cm")
    parser.add_argument("--serve", action="store_true", help="answer over HTTP instead")
    parser.add_argument("--port", type=int, default=8080)
    arguments = parser.parse_args()
    if arguments.features and len(arguments.features) != 4:
        parser.error("give four measurements, or none")

    bundle = load()
    if arguments.serve:
        Handler.bundle = bundle
        print(f"listening on :{arguments.port}", flush=True)
        ThreadingHTTPServer(("", arguments.port), Handler).serve_forever()
    else:
        print(json.dumps(predict(bundle, arguments.features or FLOWER)))


if __name__ == "__main__":
    main()
