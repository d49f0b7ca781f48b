"""The site builds without a warning, has a page for everything, no dead link, and fetches nothing when it is read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

import pytest
from blocks import ROOT

from zoo import registry
from zoo.recipe import recipes

pytest.importorskip("mkdocs")
pytest.importorskip("material")
pytest.importorskip("mkdocstrings_handlers.python")


class Page(HTMLParser):
    """What a page links to, what it loads, and what can be linked to in it."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = {k: v or "" for k, v in attrs}
        self.anchors |= {given[k] for k in ("id", "name") if k in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if "src" in given:
            self.loads.append(given["src"])
        if tag == "link" and given.get("rel") not in ("canonical", "prev", "next"):
            self.loads.append(given.get("href", ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The built site; sizes of two recipes only, because counting all takes half a minute."""
    target = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1",
                   "ZOO_DOCS_SIZES": "dim_s_cifar,quickstart"}  # fmt: skip
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    return target


@pytest.fixture(scope="module")
def parsed(site) -> dict[Path, Page]:
    """Every page of the site."""
    return {file: Page(file.read_text(encoding="utf-8")) for file in site.rglob("*.html")}


def test_every_part_is_on_the_page_of_its_shelf(site, parsed):
    for kind in registry.kinds():
        ours = {part.name for part in registry.parts(kind) if (ROOT / part.path).resolve().is_relative_to(ROOT / "zoo")}
        if ours:  # other tests register parts of their own
            assert ours <= parsed[site / f"reference/parts/{kind}.html"].anchors


def test_every_recipe_has_a_page_with_its_text(site):
    for name in recipes():
        text = (site / f"reference/recipes/{name}.html").read_text(encoding="utf-8")
        assert f"recipes/{name}.yaml" in text


def test_sizes_on_a_recipe_page_are_the_exact_ones(site):
    text = (site / "reference/recipes/dim_s_cifar.html").read_text(encoding="utf-8")
    assert "50,568,716" in text and "18.10" in text and "11.90" in text


def test_every_command_has_a_page_with_its_help(site):
    from pages import commands  # type: ignore[import-not-found]

    for name in commands.commands():
        text = (site / f"reference/commands/{name}.html").read_text(encoding="utf-8")
        assert f"usage: {name}" in text or "show this help message" in text


def test_no_internal_link_is_dead(site, parsed):
    dead = []
    for file, page in parsed.items():
        for link in page.links:
            address = urlparse(link)
            if address.scheme or address.netloc or file.name == "404.html":
                continue
            path, anchor = urldefrag(link)
            target = (file.parent / unquote(path)).resolve() if path else file
            target = target / "index.html" if target.is_dir() else target
            if not target.exists() or (anchor and target in parsed and unquote(anchor) not in parsed[target].anchors):
                dead.append(f"{file.relative_to(site)} -> {link}")
    assert not dead, "\n".join(dead[:20])


def test_nothing_is_fetched_from_elsewhere_when_the_site_is_read(site, parsed):
    outside = [f"{file.relative_to(site)}: {address}" for file, page in parsed.items() for address in page.loads
               if urlparse(address).netloc]  # fmt: skip
    address = re.compile(r"(?:url\(|@import )['\"]?(https?:[^'\")]+)")
    for style in site.rglob("*.css"):
        outside += [f"{style.name}: {found}" for found in address.findall(style.read_text())]
    assert not outside, "\n".join(outside[:20])
