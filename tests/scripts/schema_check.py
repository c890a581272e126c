#!/usr/bin/python3
"""Values against a JSON Schema of docs/, by a checker that is not ours: jsonschema, as Debian's python3-jsonschema has it.

Reads one JSON object, {"schema": path, "strict": whether members that the schema does not know are mistakes, "values": [...]}, and
prints for each value what is wrong with it, or null."""
import json
import sys

import jsonschema


def main():
    asked = json.load(sys.stdin)
    with open(asked["schema"], encoding="utf-8") as f:
        schema = json.load(f)
    jsonschema.Draft202012Validator.check_schema(schema)
    if asked.get("strict"):
        schema["unevaluatedProperties"] = False
    validator = jsonschema.Draft202012Validator(schema)

    def first(value):
        wrong = jsonschema.exceptions.best_match(validator.iter_errors(value))
        return wrong and f"{wrong.json_path}: {wrong.message[:300]}"
    print(json.dumps([first(value) for value in asked["values"]]))


if __name__ == "__main__":
    main()
