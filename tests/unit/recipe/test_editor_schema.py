"""The JSON schema says the same as the checker."""

import json

from zoo.recipe import json_schema, load_recipe


def resolve(schema, root):
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


def accepts(value, schema, root):
    """The few words of JSON schema that we use."""
    schema = resolve(schema, root)
    if "anyOf" in schema and not any(accepts(value, s, root) for s in schema["anyOf"]):
        return False
    if ("enum" in schema and value not in schema["enum"]) or ("const" in schema and value != schema["const"]):
        return False
    names = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    types = schema.get("type", [])
    for name in [types] if isinstance(types, str) else types:
        if name in ("integer", "number"):
            fits = not isinstance(value, bool) and isinstance(value, int if name == "integer" else (int, float))
        else:
            fits = isinstance(value, names[name])
        if fits:
            break
    else:
        if types:
            return False
    if isinstance(value, dict) and "properties" in schema:
        return all(key in schema["properties"] and accepts(v, schema["properties"][key], root) for key,
                   v in value.items())
    if isinstance(value, dict) and isinstance(schema.get("additionalProperties"), dict):
        return all(accepts(v, schema["additionalProperties"], root) for v in value.values())
    if isinstance(value, list) and "items" in schema:
        return all(accepts(v, schema["items"], root) for v in value)
    return True


def test_it_accepts_what_loads_and_refuses_typos(base):
    schema = json.loads(json.dumps(json_schema()))
    tree = load_recipe(base).tree
    assert accepts(tree, schema, schema)
    assert accepts({"extends": "x", "backbone": {"patch": {"size": 3}, "mixer": ["mamba", {"use": "attention"}]}},
                   schema, schema)
    wrong = [{"titel": "x"}, {"backbone": {"mixer": "mamab"}}, {"backbone": {"mixer": {"use": "mamba", "heads": 3}}},
             {"backbone": {"depth": "4"}}, {"process": {"predict": "epsilon"}}, {"shape": [3.5]}]  # fmt: skip
    assert not any(accepts(w, schema, schema) for w in wrong)


def test_it_carries_docs_and_defaults():
    schema = json_schema()
    width = schema["$defs"]["backbone"]["anyOf"][2]["properties"]["width"]
    assert width["description"] == "channels of a token" and "default" not in width
    assert schema["$defs"]["mixer"]["anyOf"][0] == {"enum": ["attention", "mamba", "none"]}
    assert schema["$defs"]["mixer"]["anyOf"][2]["description"] == "State space."


def test_it_covers_the_real_parts(real):
    text = json.dumps(json_schema())
    assert '"adaln_single"' in text and '"four_way"' in text and len(text) < 1_000_000
