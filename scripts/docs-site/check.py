#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Checks the built documentation site: check.py SITE DOCS

Each page of the folder DOCS is in the site, in its navigation and in its search index, the index finds words of its text, each
picture is there and shown by a page, and no page loads a file from another host.
"""

import json
import sys
from html.parser import HTMLParser
from pathlib import Path

# Pages, and a word of their text.
WORDS = {"security.html": "Argon2id", "nginx.html": "ssl_certificate_key", "json.html": "schema", "index.html": "PKCS#11"}


class Assets(HTMLParser):
    """The files that a browser loads for a page."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag != "a" and attributes.get("rel") != "canonical":
            self.found += [value for name, value in attributes.items() if name in ("src", "href", "srcset", "poster", "data")]


def main(site, docs):
    problems = []
    entries = json.loads((site / "search.json").read_text())["items"]
    indexed = {}
    for entry in entries:
        page = entry["location"].split("#")[0] or "index.html"
        indexed[page] = indexed.get(page, "") + entry["title"] + entry["text"]
    pages = [page.stem + ".html" for page in docs.glob("*.md")]
    problems += [f"{page}: not in the site" for page in pages if not (site / page).is_file()]
    navigation = (site / "index.html").read_text()
    problems += [f"{page}: not in the navigation" for page in pages if f'href="{page}"' not in navigation]
    problems += [f"{page}: not in the search index" for page in pages if len(indexed.get(page, "")) < 500]
    problems += [f"{page}: search does not find {word}" for page, word in WORDS.items() if word not in indexed.get(page, "")]

    shown, files = set(), sorted(site.glob("*.html"))
    for file in files:
        for asset in Assets(file.read_text()).found:
            if asset.startswith("//") or ":" in asset.split("/")[0]:
                if not asset.startswith("data:"):
                    problems.append(f"{file.name}: loads {asset}")
            elif not asset.startswith("#"):
                path = (site / asset.split("?")[0].split("#")[0].lstrip("/")).resolve()
                shown.add(path)
                # The page for missing pages is served from the root.
                if not path.exists() and file.name != "404.html":
                    problems.append(f"{file.name}: {asset} is not in the site")
    for style in site.rglob("*.css"):
        if "url(http" in style.read_text() or "@import" in style.read_text():
            problems.append(f"{style.name}: loads from another host")
    pictures = sorted(path.name for path in docs.glob("pictures/*"))
    problems += [
        f"{name}: no page shows it" for name in pictures if (site / "pictures" / name).resolve() not in shown
    ]

    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(files)} pages, {len(entries)} entries in the search index, {len(pictures)} pictures", file=sys.stderr)
    return 1 if problems or len(pages) < 30 or len(pictures) < 5 else 0


sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
