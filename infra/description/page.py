"""The OpenAPI document as one HTML page without scripts, fonts or pictures from anywhere. Pure."""

import html
import json
import re
from collections.abc import Iterator
from typing import Any

_LIMITS = {"minimum": "from", "maximum": "to", "maxLength": "at most", "pattern": "like", "default": "else"}
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem 1rem 6rem; }
nav ul { columns: 22rem; list-style: none; padding: 0; } code, pre { font: 14px/1.45 ui-monospace, monospace; }
pre { background: var(--soft); padding: .75rem; overflow: auto; border-radius: .4rem; }
section { border-top: 1px solid var(--line); padding-top: .5rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; vertical-align: top; padding: .3rem .8rem
.3rem 0; border-bottom: 1px solid var(--line); } summary { cursor: pointer; } a { color: inherit; }
.method { display: inline-block; min-width: 4.5em; font-weight: 700; }
"""


def page(document: dict[str, Any]) -> str:
    """The whole page."""
    info = document["info"]
    base = document["servers"][0]["url"]
    operations = list(_operations(document))
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(info['title'])} API</title><style>{_STYLE}</style></head><body>",
        f"<h1>{_text(info['title'])} API</h1><p>{_prose(info['summary'])}</p><p>{_prose(info['description'])}</p>",
        f"<p>Base <code>{_text(base)}</code>, version {_text(info['version'])}; for machines: "
        '<a href="openapi.json">openapi.json</a> (OpenAPI 3.1).</p>',
        "<nav><h2>Calls</h2><ul>",
        *(
            f'<li><a href="#{operation["operationId"]}">{_call(method, path)}</a></li>'
            for method, path, operation in operations
        ),
        '</ul><p><a href="#schemas">Schemas</a> · <a href="#errors">Error codes</a></p></nav>',
        *(_section(document, method, path, operation) for method, path, operation in operations),
        '<section id="schemas"><h2>Schemas</h2>',
        *(_schema(name, schema) for name, schema in document["components"]["schemas"].items()),
        '</section><section id="errors"><h2>Error codes</h2><table><tr><th>code</th><th>status</th>'
        "<th>what it says</th></tr>",
        *(
            f"<tr><td><code>{code}</code></td><td>{told['value']['status']}</td>"
            f"<td>{_text(told['value']['detail'])}</td></tr>"
            for code, told in document["components"]["examples"].items()
        ),
        "</table><p>A session that failed names its code in <code>failure</code>, with what to do.</p></section>",
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _section(document: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [
        f'<section id="{operation["operationId"]}"><h2>{_text(operation["summary"])}</h2>',
        f"<p>{_call(method, path)}</p><p>{_prose(operation['description'])}</p>",
    ]
    if operation.get("parameters"):
        rows = "".join(
            f"<tr><td><code>{_text(one['name'])}</code></td><td>{one['in']}"
            f"{', required' if one['required'] else ''}</td><td>{_type(one['schema'])}</td></tr>"
            for one in operation["parameters"]
        )
        parts.append(f"<table><tr><th>parameter</th><th>in</th><th>type</th></tr>{rows}</table>")
    if "requestBody" in operation:
        told = "" if operation["requestBody"]["required"] else " (may be left out)"
        parts.append(f"<h3>Request{told}</h3>")
        parts += [_media(name, media) for name, media in operation["requestBody"]["content"].items()]
    parts.append("<h3>Answers</h3>")
    for status, response in operation["responses"].items():
        content = response.get("content", {})
        if status.startswith("2"):
            parts.append(f"<p><strong>{status}</strong></p>")
            parts += [_media(name, media) for name, media in content.items()]
        else:
            parts.append(f"<p><strong>{status}</strong> {_prose(response['description'])}</p>")
    return "\n".join([*parts, "</section>"])


def _media(name: str, media: dict[str, Any]) -> str:
    example = json.dumps(media["example"], indent=2, ensure_ascii=False)
    return f"<p><code>{_text(name)}</code>: {_type(media['schema'])}</p><pre>{_text(example)}</pre>"


def _schema(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    rows = "".join(
        f"<tr><td><code>{_text(field)}</code></td><td>{_type(told)}"
        f"{'' if field in required else ', may be absent'}</td><td>{_prose(told.get('description', ''))}</td></tr>"
        for field, told in schema.get("properties", {}).items()
    )
    return f'<h3 id="schema-{name}">{name}</h3><p>{_prose(schema.get("description", ""))}</p><table>{rows}</table>'


def _type(schema: dict[str, Any]) -> str:
    """A schema in a few words, with links to the named ones."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#schema-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"<code>{_text(str(value))}</code>" for value in schema["enum"])
    if "const" in schema:
        return f"<code>{_text(str(schema['const']))}</code>"
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    words = [str(schema.get("format") or schema.get("type", "anything"))]
    words += [f"{word} <code>{_text(str(schema[key]))}</code>" for key, word in _LIMITS.items() if key in schema]
    return " ".join(words)


def _call(method: str, path: str) -> str:
    return f'<code><span class="method">{method}</span> {_text(path)}</code>'


def _prose(text: str) -> str:
    """Text with its `code` marked."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", _text(text))


def _text(text: str) -> str:
    return html.escape(text)
